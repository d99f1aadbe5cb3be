"""An image of thousands of megapixels with millions of cells, through everything but a network.

    python -m benchmarks run huge_image --folder DIR [--side 50000] [--out FILE.json]

The image is a mosaic of bright ellipses, about 800 per megapixel, and the predictor takes every
bright region for a cell, so that the benchmark measures blocks, seams, files and tables. The
network's time per megapixel is the same in every block; `large_images` measures it. The same
command resumes an interrupted run: DIR keeps the image, the results and the figures of every
attempt.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import ellipse
from skimage.measure import label

from benchmarks.harness import record
from benchmarks.scale.mosaic import write_mosaic
from bigkingxxl.candidates import Candidates
from bigkingxxl.data.progress_reports import Label, Total
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import ImageContext
from bigkingxxl.io.images import open_images
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.folder import predict_folder, run_settings
from bigkingxxl.runs.pipeline import Pipeline
from bigkingxxl.runs.selection import Selection

FORMATS = ("labels", "measurements", "qupath", "summary")
PITCH, ACROSS = 35, 42  # pixels from cell to cell, cells along a side of the repeated field
BRIGHT = 60


class BrightCells:
    """Predicts a cell for every connected bright region."""

    def image_context(self, source: ImageSource) -> ImageContext:  # noqa: ARG002
        """Return an empty context; nothing needs to be known of an image."""
        return {}

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:  # noqa: ARG002
        """Return the cells of a part of an image."""
        labels = label(source.read()[0] > BRIGHT, connectivity=1).astype(np.int32)
        count = int(labels.max())
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        score = np.clip(0.5 + areas / 2000, 0, 1).astype(np.float32)
        solid = np.ones(labels.shape, np.float32)
        return Candidates.from_label_map(labels, solid, score)

    def candidates(self, source: ImageSource) -> Candidates:
        """Return the cells of an image."""
        return self.candidates_in(source, {})


def bright_field(seed: int = 0) -> NDArray[np.uint8]:
    """uint8[1470, 1470]: ellipses that do not touch, not even where the field is repeated."""
    rng = np.random.default_rng(seed)
    side = PITCH * ACROSS
    pixels = np.full((side, side), 20, np.uint8)
    for row in range(ACROSS):
        for col in range(ACROSS):
            tall, wide = rng.integers(7, 14, 2)
            top, left = ((np.array([row, col]) + 0.5) * PITCH).astype(int) + rng.integers(-3, 4, 2)
            place = ellipse(top, left, tall, wide, shape=pixels.shape,
                            rotation=float(rng.uniform(0, 3)))  # fmt: skip
            pixels[place] = rng.integers(100, 250)
    return pixels


def used() -> dict[str, float]:
    """Return the CPU seconds of this process so far, and its peak memory."""
    mine = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": round(mine.ru_utime + mine.ru_stime, 1), "peak_mb": mine.ru_maxrss // 1024}


def attempt(image: Path, folder: Path) -> dict[str, Any]:
    """Continue with the image to its end, and store this process's figures after each block."""
    began, load = time.monotonic(), os.getloadavg()[0]
    note = folder / f"attempt-{int(time.time())}.json"
    steps: dict[str, dict[str, Any]] = {}

    def track(items: Iterable[Any], total: Total, what: Label) -> Iterator[Any]:
        step: dict[str, Any] = {"done": 0}
        before = used()["cpu_s"]
        for item in items:
            yield item
            step["done"] += 1
            step["of"] = total() if callable(total) else total
            step["cpu_s"] = round(used()["cpu_s"] - before, 1)
            steps[what() if callable(what) else what] = step
            note.write_text(json.dumps(
                {**used(), "wall_s": round(time.monotonic() - began, 1), "load": load,
                 "steps": steps}
            ))  # fmt: skip

    selection = Selection(OperatingPoints())
    settings = run_settings("bright", selection, FORMATS)
    result = predict_folder(
        Pipeline(settings, selection, BrightCells(), track=track), [image],
        partial(open_images, pixel_limit=None), folder / "out",
    )  # fmt: skip
    if result.failed:
        raise SystemExit(str(result.failed))
    return {"cells": sum(result.cells.values())}


def main() -> None:
    """Make the image if needed, process it to its end, and print the figures of all attempts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--side", type=int, default=50000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    image = options.folder / "bright.tif"
    if not image.is_file():
        made = image.with_suffix(".part.tif")
        write_mosaic(made, options.side, bright_field(), compression=None)
        made.rename(image)
    found = attempt(image, options.folder)
    attempts = [json.loads(each.read_text()) for each in sorted(options.folder.glob("attempt-*"))]
    megapixels = options.side**2 / 1e6
    cpu_s = round(sum(each["cpu_s"] for each in attempts), 1)
    figures = {
        "megapixels": megapixels, **found, "formats": FORMATS, "attempts": attempts,
        "cpu_seconds": cpu_s, "cpu_seconds_per_megapixel": round(cpu_s / megapixels, 4),
        "peak_mb": max(each["peak_mb"] for each in attempts),
        "bytes": {each.suffix or each.name: each.stat().st_size
                  for each in sorted((options.folder / "out").rglob("bright*")) if each.is_file()},
    }  # fmt: skip
    print(json.dumps(figures, indent=2))
    if options.out is not None:
        record(options.out, figures)


if __name__ == "__main__":
    main()
