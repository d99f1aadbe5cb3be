"""A predictor that detects bright squares, and runs with it, also in a process of its own.

python -m tests.threshold IMAGES OUT [--formats a,b] [--key K] [--die MOMENT]
    [--slow SECONDS] [--shard I/N]
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs import records, tables
from bigkingxxl.runs.folder import predict_folder, run_settings
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.outputs import FORMATS, OF_AN_EXTRA
from bigkingxxl.runs.pipeline import Pipeline
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.shards import Shard

SIZE = (40, 60)
NAMES = ("astro", "cort")
BRIGHT, DARK = 200, 20

BASE = tuple(name for name in FORMATS if name not in OF_AN_EXTRA)  # what 'all' means


class Threshold:
    """Detects every bright square as a cort cell."""

    def __init__(self, slow: float = 0.0, score: float = 0.75) -> None:
        self.asked, self.slow, self.score = list[str](), slow, score

    def scale_of(self, candidates: Candidates) -> float:
        return 1.5 * candidates.scale_ratio

    def candidates(self, source: ImageSource) -> Candidates:
        self.asked.append(source.name)
        time.sleep(self.slow)
        cells = Instances.from_label_map(squares(int((source.read()[0] > 100).sum()) // 25))
        boxes = cells.boxes()
        crops = [np.full((5, 5), 255, np.uint8) for _ in boxes]
        types = np.tile(np.array([[0.2, 0.8]], np.float32), (len(boxes), 1))
        score = np.full(len(boxes), self.score, np.float32)
        return Candidates.from_crops(source.shape, boxes, crops, score, types, NAMES)


def squares(count: int) -> np.ndarray:
    """Labels of up to 60 squares of 5 x 5 pixels."""
    labels = np.zeros(SIZE, int)
    for index in range(count):
        row, col = divmod(index, 10)
        labels[6 * row + 1 : 6 * row + 6, 6 * col : 6 * col + 5] = index + 1
    return labels


def pixels(count: int) -> np.ndarray:
    """An image with the given number of squares."""
    image = np.where(squares(count) > 0, BRIGHT, DARK).astype(np.uint8)
    image[-1, -1] = DARK + 5  # none is constant
    return image


def save_images(folder: Path, counts: Sequence[int]) -> list[Path]:
    """Images with the given numbers of squares, `i00.png` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"i{index:02d}.png" for index in range(len(counts))]
    for path, count in zip(paths, counts, strict=True):
        Image.fromarray(pixels(count)).save(path)
    return paths


def run(
    paths: Sequence[Path], out: Path, *formats: str, predictor: Threshold | None = None,
    key: str = "k", model: str = "abc123", selection: Selection | None = None,
    frames: str | None = None, names: Mapping[Path, str] | None = None, overwrite: bool = False,
    **options: Any,
) -> FolderResult:  # fmt: skip
    """A run with every format unless some are given; images are named by `names`."""
    reading = OpenOptions(frames=frames)
    selection = selection or Selection(OperatingPoints())
    settings = run_settings(key, selection, formats or BASE, model=model, reading=reading.as_json())
    return predict_folder(
        Pipeline(settings, selection, predictor or Threshold(), overwrite=overwrite),
        paths,
        lambda path: reading.open(path, None if names is None else names[path]),
        out,
        **options,
    )


def results(out: Path) -> dict[str, bytes]:
    """The bytes of all files of a run except its records, which contain times."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and "records" not in path.relative_to(out).parts
    }


def _die() -> None:
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _after(calls: int, function: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    """Wrap a function so that its nth call kills the process, before or after its work."""
    numbers = itertools.count(1)

    def counted(*arguments: Any, **options: Any) -> Any:
        number = next(numbers)  # in one step: images are processed in several threads
        if number == calls and before:
            _die()
        result = function(*arguments, **options)
        if number == calls:
            _die()
        return result

    return counted


def arrange_death(moment: str) -> None:
    """Have this process killed: in the network, between a record and its file, in a table."""
    if moment == "network":
        Threshold.candidates = _after(2, Threshold.candidates, before=True)  # type: ignore[method-assign]
    elif moment == "record":
        records.Record.save = _after(7, records.Record.save, before=False)  # type: ignore[method-assign]
    elif moment == "table":
        tables._write = _after(2, tables._write, before=True)


def main() -> None:
    """Predict the images of a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--formats", default=",".join(BASE))
    parser.add_argument("--key", default="k")
    parser.add_argument("--die", default="")
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--shard", default="1/1")
    options = parser.parse_args()
    arrange_death(options.die)
    result = run(
        sorted(options.images.iterdir()), options.out, *options.formats.split(","),
        predictor=Threshold(options.slow), key=options.key, shard=Shard.of(options.shard),
    )  # fmt: skip
    print(len(result.cells), result.skipped, len(result.failed))


if __name__ == "__main__":
    main()
