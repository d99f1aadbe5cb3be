"""The cost of sharing out a run: the store per unit, a second process, a shard, a Dask task.

    python -m benchmarks run cluster store --units 10000
    python -m benchmarks run cluster workers --images 1000 [--side 256]
    python -m benchmarks run cluster overhead

Each part adds its figures to benchmarks/results/scale_cluster.json. On a busy machine the CPU
seconds are what counts; the wall time and the load during the measurement are stored as well. One
process and two are measured in turn on the same pieces of the folder, so that both meet the same
load. The figures are stored after each piece.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.harness import RESULTS, record
from bigkingxxl.candidates import Candidates
from bigkingxxl.cluster.job import Job, Loading
from bigkingxxl.cluster.run import Sharing, predict_job
from bigkingxxl.images import ImageSource
from bigkingxxl.model_card import ModelCard
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.folder import run_settings
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import RunStore
from bigkingxxl.runs.tables import make_tables
from bigkingxxl.simulate import simulate_field

FILE = RESULTS / "scale_cluster.json"
SIDE = 32


class Nothing:
    """A predictor that returns no cells, at once."""

    def candidates(self, source: ImageSource) -> Candidates:
        """Return no candidates."""
        return Candidates.empty(source.shape, ("cell",))


class NoModel(Loading):
    """Loads a predictor that finds nothing."""

    def load(self) -> tuple[Any, ModelCard]:
        """Return the predictor and an empty card."""
        return Nothing(), ModelCard(method="compact", settings={}, type_names=("cell",))


def empty_job(out: Path) -> Job:
    """Return a run of one format whose units cost nothing but the store."""
    selection, reading = Selection(OperatingPoints()), OpenOptions()
    settings = run_settings("empty", selection, ["labels", "summary"], reading=reading.as_json())
    return Job(out, settings, selection, reading, NoModel((), ()))


def small_images(folder: Path, count: int) -> dict[Path, str]:
    """Write `count` images of 32 x 32 pixels, none constant, in folders of a thousand."""
    rng = np.random.default_rng(0)
    files = {}
    for index in range(count):
        place = folder / f"{index // 1000:03d}" / f"i{index:06d}.png"
        if index % 1000 == 0:
            place.parent.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE), np.uint8)).save(place, compress_level=0)
        files[place] = f"{place.parent.name}/{place.stem}"
    return files


def cpu() -> float:
    """Return the CPU seconds of this process and of its finished children."""
    found = [resource.getrusage(who)
             for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]  # fmt: skip
    return sum(each.ru_utime + each.ru_stime for each in found)


def timed(work: Any) -> dict[str, float]:
    """Measure the CPU and wall seconds of some work, and the load of the machine."""
    began, wall = cpu(), time.monotonic()
    work()
    return {"cpu_s": round(cpu() - began, 3), "wall_s": round(time.monotonic() - wall, 3),
            "load": round(os.getloadavg()[0], 1)}  # fmt: skip


def measure_store(units: int) -> Iterator[dict[str, Any]]:
    """Measure empty units in the store: done, found done, and their tables alone.

    Yields:
        The figures so far.
    """
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        files, out = small_images(Path(folder) / "images", units), Path(folder) / "out"
        job = empty_job(out)
        works = {
            "first": lambda: predict_job(job, files, Sharing(1)),
            "nothing_to_do": lambda: predict_job(job, files, Sharing(1)),
            "tables": lambda: make_tables(RunStore(out)),
        }
        for name, work in works.items():
            found[name] = timed(work)
            found[name]["cpu_ms_per_unit"] = round(1e3 * found[name]["cpu_s"] / units, 3)
            yield found


def command(*options: str) -> list[str]:
    """Return the command that runs `bigkingxxl predict` in a process of one thread."""
    return [sys.executable, "-m", "bigkingxxl", "predict", *options, "--quiet"]


def run(*options: str) -> dict[str, float]:
    """Measure the CPU and wall seconds of a command."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = lambda: subprocess.run(command(*options), check=True, env=environment,  # noqa: E731
                                  stdout=subprocess.DEVNULL)  # fmt: skip
    return timed(done)


def measure_workers(images: int, side: int, piece: int) -> Iterator[dict[str, Any]]:
    """Predict folders of simulated images with one process and with two, in turn, one thread each.

    Yields:
        The figures of all pieces so far.
    """
    pieces: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, images, piece):
            place = Path(folder) / f"images{first}"
            place.mkdir()
            for index in range(first, min(first + piece, images)):
                field = simulate_field("cort", size=(side, side), seed=index)
                Image.fromarray(np.asarray(field.image)).save(place / f"i{index:04d}.png")
            ways = {"one": "1", "two": "2"}
            found = {
                name: run(str(place), "--out", f"{folder}/{name}{first}", "--model", "open",
                          "--workers", ways[name])
                for name in sorted(ways, reverse=bool(len(pieces) % 2))
            }  # fmt: skip
            pieces.append({"one": found["one"], "two": found["two"]})
            yield speedups(pieces, min(first + piece, images), side)


def speedups(pieces: list[dict[str, Any]], images: int, side: int) -> dict[str, Any]:
    """Combine the figures of all pieces."""
    cpu_s = {way: sum(each[way]["cpu_s"] for each in pieces) for way in ("one", "two")}
    wall = {way: sum(each[way]["wall_s"] for each in pieces) for way in ("one", "two")}
    ratios = [each["one"]["wall_s"] / each["two"]["wall_s"] for each in pieces]
    return {
        "images": images, "side": side, "pieces": pieces,
        "cpu_s": {way: round(each, 1) for way, each in cpu_s.items()},
        "wall_s": {way: round(each, 1) for way, each in wall.items()},
        # Two idle cores finish in half the CPU time of two processes that share the work evenly.
        "speedup_from_cpu": round(2 * cpu_s["one"] / cpu_s["two"], 3),
        "speedup_by_the_clock": round(wall["one"] / wall["two"], 3),
        "median_speedup_of_a_piece_by_the_clock": round(float(np.median(ratios)), 3),
    }  # fmt: skip


def measure_overhead(tasks: int) -> dict[str, Any]:
    """Measure the cost of a shard and of a Dask task besides their units."""
    with tempfile.TemporaryDirectory() as folder:
        files = small_images(Path(folder) / "images", tasks)
        one = next(iter(files))
        start = run(str(one), "--out", f"{folder}/start", "--model", "open")
        # A shard with one image of a folder of so many.
        shard = run(str(Path(folder) / "images"), "--out", f"{folder}/shard", "--model", "open",
                    "--shard", f"1/{tasks}")  # fmt: skip
        own = timed(lambda: predict_job(empty_job(Path(folder) / "a"), files, Sharing(1)))
        dask = timed(lambda: predict_job(empty_job(Path(folder) / "b"), files,
                                         Sharing(scheduler="local:1")))  # fmt: skip
        fewer = dict(list(files.items())[: tasks // 10])
        start_dask = timed(lambda: predict_job(empty_job(Path(folder) / "c"), fewer,
                                               Sharing(scheduler="local:1")))  # fmt: skip
    more = tasks - tasks // 10
    per_dask = 1e3 * (dask["cpu_s"] - start_dask["cpu_s"]) / more
    return {
        "one_image": start, "shard_of_one_image": shard, "tasks": tasks, "in_process": own,
        "dask": dask, "dask_of_a_tenth": start_dask,
        "dask_cpu_ms_per_task": round(per_dask - 1e3 * own["cpu_s"] / tasks, 3),
    }  # fmt: skip


def main() -> None:
    """Measure one part and store its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("store", "workers", "overhead"))
    parser.add_argument("--units", type=int, default=10000)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--piece", type=int, default=100)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--tasks", type=int, default=500)
    options = parser.parse_args()
    if options.part == "store":
        for units in measure_store(options.units):
            keep("store", {str(options.units): units}, add=True)
    elif options.part == "workers":
        for found in measure_workers(options.images, options.side, options.piece):
            keep("workers", found)
    else:
        keep("overhead", measure_overhead(options.tasks))


def keep(part: str, found: dict[str, Any], *, add: bool = False) -> None:
    """Print figures and store them beside the others."""
    known = json.loads(FILE.read_text()) if FILE.is_file() else {}
    before = known.get(part, {}) if add else {}
    print(json.dumps(found, indent=2), flush=True)
    record(FILE, {**known, part: {**before, **found}})


if __name__ == "__main__":
    main()
