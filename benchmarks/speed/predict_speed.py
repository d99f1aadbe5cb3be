"""The time of `bigkingxxl predict` from its start to its files: one image, and a hundred.

    python -m benchmarks run predict_speed --model FILE.onnx [--images 100] [--cells 300]

The images are simulated, 704 x 520 pixels. Other jobs on the machine lengthen wall times, so the
processor time of all threads and the load average are recorded as well.

    one       a new process for one image, labels and overlay: the median of several
    folder    one process for all images: seconds per image
    stages    the stages of an image in one process, one after the other: read (with statistics),
              size (of its cells), network (with normalising and resizing), decode, select, judge
              (warnings, expected quality), files (candidates, labels, overlay)
    formats   the cost of each further `--format` per image, and of tables per run
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.harness import RESULTS, record, results_table
from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.domain.quality_assessment import assess_quality
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.io.images.image_files import open_image
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import model_hash, resolve_model
from bigkingxxl.runs.folder import predict_folder, run_settings
from bigkingxxl.runs.outputs import IMAGE_FORMATS, RUN_FORMATS, PredictedImage
from bigkingxxl.runs.pipeline import Pipeline
from bigkingxxl.runs.selection import Selection
from bigkingxxl.simulate.field import simulate_field

CELL_TYPE, SIZE = "shsy5y", (520, 704)
GOALS = {"one_wall": 2.0, "folder_wall_an_image": 0.5, "decode_cpu": 0.1}
DEFAULT_FORMATS = ("labels", "overlay")
Times = dict[str, list[tuple[float, float]]]


def simulate(folder: Path, images: int, cells: int) -> list[Path]:
    """Simulate images of a type with many cells, each with its own seed."""
    paths = []
    for seed in range(images):
        field = simulate_field(CELL_TYPE, size=SIZE, seed=seed, cell_count=cells)
        paths.append(folder / f"field_{seed:04d}.png")
        Image.fromarray(field.image).save(paths[-1])
    return paths


def run_command(arguments: list[str]) -> dict[str, float]:
    """Measure wall and processor seconds of `bigkingxxl predict` in a separate process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, "-m", "bigkingxxl", "predict", *arguments, "--quiet"]
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "load": os.getloadavg()[0]}


def time_one(model: Path, image: Path, times: int) -> dict[str, Any]:
    """Return the median of several new processes."""
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as out:
            found.append(run_command([str(image), "--model", str(model), "--out", out]))
    medians = {key: statistics.median(each[key] for each in found) for key in ("wall", "cpu")}
    return {"median": medians, "least_cpu": min(each["cpu"] for each in found), "runs": found}


def time_folder(model: Path, folder: Path, images: int, ahead: list[int]) -> dict[str, Any]:
    """Measure seconds per image of the whole command and, for comparison, without threads."""
    with tempfile.TemporaryDirectory() as out:
        whole = run_command([str(folder), "--model", str(model), "--out", out])
    found: dict[str, Any] = {key: whole[key] / images for key in ("wall", "cpu")}
    found["load"] = whole["load"]
    predictor, card = load_predictor(model, "cpu")
    paths = sorted(folder.iterdir())[: min(images, 12)]
    for count in ahead:
        with tempfile.TemporaryDirectory() as out:
            wall, cpu = time.perf_counter(), time.process_time()
            selection = Selection(card.operating_points)
            settings = run_settings("benchmark", selection, DEFAULT_FORMATS)
            predict_folder(
                Pipeline(settings, selection, predictor), paths, lambda path: [open_image(path)],
                Path(out), ahead=count,
            )  # fmt: skip
            found[f"{count}_at_once"] = {
                "wall": (time.perf_counter() - wall) / len(paths),
                "cpu": (time.process_time() - cpu) / len(paths),
            }
    return found


@contextmanager
def timed(times: Times, name: str) -> Iterator[None]:
    """Record the wall and processor seconds of a block."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    times[name].append((time.perf_counter() - wall, time.process_time() - cpu))


def stages(
    predictor: DensePredictor,
    card: ModelCard,
    selection: Selection,
    path: Path,
    out: Path,
    times: Times,
) -> tuple[ImageSource, PredictedImage]:
    """Process one image, stage by stage."""
    with timed(times, "read"):
        source = open_image(path)
        _ = source.statistics
    with timed(times, "size"):
        ratio = predictor.image_context(source)["scale_ratio"]
    with timed(times, "network"):
        maps = predictor.maps(source, ratio=ratio)
    with timed(times, "decode"):
        candidates = predictor.decode(maps, source.shape, ratio)
    with timed(times, "select"):
        cells = selection.instances(candidates, source.pixel_size_um)
    with timed(times, "judge"):
        assess_quality(card, source, candidates, cells)
    image = PredictedImage(source, NumberedCells.of(cells), path, source.name, lambda: candidates)
    with timed(times, "files"):
        candidates.save(out / f"{source.name}.npz")
        for name in DEFAULT_FORMATS:
            IMAGE_FORMATS[name].write(IMAGE_FORMATS[name].place(out, source.name), image)
    return source, image


def medians(times: Times) -> dict[str, dict[str, float]]:
    """Return the median of each name, without the first value, which includes imports."""
    result = {}
    for name, values in times.items():
        kept = values[1:] or values
        wall, cpu = ([each[k] for each in kept] for k in (0, 1))
        result[name] = {"wall": statistics.median(wall), "cpu": statistics.median(cpu),
                        "least_cpu": min(cpu)}  # fmt: skip
    return result


def time_inside(model: Path, paths: list[Path], repeats: int) -> dict[str, Any]:
    """Measure stages and formats for some images."""
    predictor, card = load_predictor(model, "cpu")
    if not isinstance(predictor, DensePredictor):
        raise InputError(f"{model} makes no maps: its stages cannot be told apart")
    selection = Selection(card.operating_points)
    parts: Times = defaultdict(list)
    formats: Times = defaultdict(list)
    counts = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for path in paths[: repeats + 1]:
            source, image = stages(predictor, card, selection, path, out, parts)
            counts.append(len(image.instances))
            for name, each in IMAGE_FORMATS.items():
                # Measurements are computed once for all formats that contain them; here each
                # computes them.
                fresh = replace(image)
                with timed(formats, name):
                    each.write(each.place(out, source.name), fresh)
    tables = time_tables(predictor, selection, paths[: repeats + 1])
    return {"images": repeats, "cells_found": statistics.median(counts),
            "stages": medians(parts), "formats": medians(formats), "tables": tables}  # fmt: skip


def time_tables(
    predictor: Predictor, selection: Selection, paths: list[Path]
) -> dict[str, dict[str, float]]:
    """Measure seconds per image of the formats for a whole run, from stored candidates."""
    found: Times = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:

        def run(*formats: str) -> None:
            settings = run_settings("benchmark", selection, formats)
            predict_folder(
                Pipeline(settings, selection, predictor, overwrite=True), paths,
                lambda path: [open_image(path)], Path(folder),
            )  # fmt: skip

        run(*(name for name in RUN_FORMATS if name in IMAGE_FORMATS))
        for name in RUN_FORMATS:
            for _ in range(3):
                with timed(found, name):
                    run(name)
    return {
        name: {key: value / len(paths) for key, value in each.items()}
        for name, each in medians(found).items()
    }


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description="Speed of prediction, start to files.")
    parser.add_argument("--model", default="bundled", help="a model by name, or a file")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--times", type=int, default=5, help="fresh processes for one image")
    parser.add_argument("--repeats", type=int, default=10, help="images taken apart by stage")
    parser.add_argument("--out", type=Path, default=RESULTS / "predict_speed.json")
    options = parser.parse_args()
    model = resolve_model(options.model)
    with tempfile.TemporaryDirectory() as folder:
        paths = simulate(Path(folder), options.images, options.cells)
        result = {
            "what": "bigkingxxl predict, process start to files, 704 x 520 pixels, seconds",
            "model": model_hash(model),
            "goals": GOALS,
            "load_average_at_start": os.getloadavg(),
            "inside": time_inside(model, paths, options.repeats),
            "one": time_one(model, paths[0], options.times),
            "folder": time_folder(model, Path(folder), len(paths), [1, 2]),
            "load_average_at_end": os.getloadavg(),
        }
    print(results_table(record(options.out, result, 0)))


if __name__ == "__main__":
    main()
