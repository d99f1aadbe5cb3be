"""Large images of bright ellipses, a predictor that detects them by window, and runs with it.

python -m tests.runs.large.blobs IMAGE OUT [--formats a,b] [--core N] [--die N] [--slow SECONDS]
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.draw import ellipse
from skimage.measure import label

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import ImageContext
from bigkingxxl.io.images import open_images
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.folder import predict_folder, run_settings
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.large import grid, plan
from bigkingxxl.runs.pipeline import Judge, Pipeline
from bigkingxxl.runs.selection import Selection

NAMES = ("astro", "cort")
FORMATS = ("labels", "zarr", "zarr-0.5", "measurements", "qupath", "imagej", "submission",
           "overlay", "summary", "contact_sheet")  # fmt: skip


class Blobs:
    """Detects every connected bright region; a larger region has a higher score.

    Args:
        slow: Seconds that a prediction takes.
        die: Number of the prediction during which the process kills itself.
    """

    def __init__(self, slow: float = 0.0, die: int = 0) -> None:
        self.looks, self.slow, self.die = 0, slow, die
        self.counting = threading.Lock()  # several threads predict blocks
        self.windows = list[tuple[int, int]]()

    def scale_of(self, candidates: Candidates) -> float:
        return 2.0 * candidates.scale_ratio

    def image_context(self, source: ImageSource) -> ImageContext:
        return {"threshold": float(source.statistics.percentile(50.0)[0]) + 50}

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
        with self.counting:
            self.looks += 1
            look = self.looks
        self.windows.append(source.shape)
        time.sleep(self.slow)
        if look == self.die:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        labels = label(source.read()[0] > context["threshold"], connectivity=1).astype(np.int32)
        count = int(labels.max())
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        types = np.tile(np.array([[0.2, 0.8]], np.float32), (count, 1))
        score = np.clip(0.5 + areas / 4000, 0, 1).astype(np.float32)
        solid = np.ones(labels.shape, np.float32)
        return Candidates.from_label_map(labels, solid, score, types, NAMES)

    def candidates(self, source: ImageSource) -> Candidates:
        return self.candidates_in(source, self.image_context(source))


def field(size: tuple[int, int], count: int, seed: int = 0, largest: int = 9) -> NDArray[np.uint16]:
    """uint16[H, W] labels of ellipses that do not touch."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(size, np.uint16)
    number = 0
    for _ in range(count):
        row, col = rng.integers(0, size[0]), rng.integers(0, size[1])
        tall, wide = rng.integers(3, largest, 2)
        around = ellipse(row, col, tall + 2, wide + 2, shape=size)
        if not labels[around].any():
            number += 1
            labels[ellipse(row, col, tall, wide, shape=size)] = number
    return labels


def image_of(labels: NDArray[Any], seed: int = 1) -> NDArray[np.uint8]:
    """uint8[H, W]: the cells bright on a noisy background."""
    noise = np.random.default_rng(seed).integers(0, 20, labels.shape)
    return (noise + 150 * (labels > 0)).astype(np.uint8)


def small_blocks(patch: pytest.MonkeyPatch, core: int = 64, margin: int = 16) -> None:
    """Make images of any size large, and their blocks small."""
    patch.setattr(grid, "ABOVE", 100)
    patch.setattr(grid, "CORE", core)
    patch.setattr(plan, "MARGIN", margin)
    patch.setattr(plan, "STEP", 4)
    patch.setattr(plan, "SLACK", 3)


def points() -> OperatingPoints:
    """Thresholds that keep nearly everything."""
    return OperatingPoints.model_validate({"default": {"select": {"minimum_area": 5}}})


def predict(
    image: Path, out: Path, *, formats: tuple[str, ...] = FORMATS, predictor: Any = None,
    selection: Selection | None = None, key: str = "k", overwrite: bool = False,
    track: Track = untracked, judge: Judge | None = None, **more: Any,
) -> FolderResult:  # fmt: skip
    """A run over one file, or over several of a folder."""
    selection = selection or Selection(points())
    settings = run_settings(key, selection, formats, model="m")
    paths = sorted(image.iterdir()) if image.is_dir() and image.suffix != ".zarr" else [image]
    pipeline = Pipeline(settings, selection, predictor or Blobs(), judge, overwrite, track)
    return predict_folder(pipeline, paths, open_images, out, **more)


def contents(folder: Path) -> Mapping[str, bytes]:
    """Every file of a run except its records (which contain times) and locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"records", ".locks"} & {*path.relative_to(folder).parts}
        and path.name != "plan.json"
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("image", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--core", type=int, default=64)
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--die", type=int, default=0)
    options = parser.parse_args()
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, options.core)
        result = predict(options.image, options.out, formats=tuple(options.formats.split(",")),
                         predictor=Blobs(options.slow, options.die))  # fmt: skip
    raise SystemExit(1 if result.failed else 0)


if __name__ == "__main__":
    main()
