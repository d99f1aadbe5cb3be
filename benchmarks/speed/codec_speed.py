"""The speed of decoding and encoding annotations, compared with the usual dense ways.

    python -m benchmarks run codec_speed [--data FOLDER] [--every 10] [--out FILE]

The dense side starts from strings in memory. Ours starts from the csv file and validates it; the
time for reading the strings is subtracted, so that both do the same. The dense side runs on every
tenth image and is scaled by the number of cells. pycocotools comes with the extra `dev`. The exit
status is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from benchmarks.drawn_cells import annotation_table
from benchmarks.harness import REAL_DATA, RESULTS, Goal, Timing, keep, timed
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import ANNOTATION_COLUMNS, read_annotations
from bigkingxxl.io.tables.csv_table import read_table

UInt8 = NDArray[np.uint8]


def ours(csv_path: Path) -> int:
    """Convert every annotation of a csv file to `Instances`, a label map and COCO strings."""
    table = read_annotations(csv_path)
    count = 0
    for image_id in table.ids:
        cells = table.instances(image_id)
        cells.label_map()
        count += len(cells.coco_strings())
    return count


def decode_and_paint(csv_path: Path) -> int:
    """Convert every annotation of a csv file to label maps."""
    table = read_annotations(csv_path)
    return sum(int(table.instances(image_id).label_map().max()) > 0 for image_id in table.ids)


def dense_stack(texts: Sequence[str], size: tuple[int, int]) -> UInt8:
    """Decode each annotation as in the challenge's notebooks, uint8[N, H, W]."""
    stack = np.zeros((len(texts), size[0] * size[1]), np.uint8)
    for mask, text in zip(stack, texts, strict=True):
        words = text.split()
        starts, lengths = (np.asarray(part, int) for part in (words[0::2], words[1::2]))
        for start, stop in zip(starts - 1, starts - 1 + lengths, strict=True):
            mask[start:stop] = 1
    return stack.reshape(len(texts), *size)


def paint_stack(stack: UInt8) -> NDArray[np.int32]:
    """Paint later cells over earlier ones, int32[H, W]."""
    labels = np.zeros(stack.shape[1:], np.int32)
    for place, mask in enumerate(stack, start=1):
        labels[mask > 0] = place
    return labels


def encode_stack(stack: UInt8) -> list[str]:
    """Encode COCO strings with pycocotools, which needs [H, W, N] in Fortran order."""
    codes = coco_mask.encode(np.asfortranarray(stack.transpose(1, 2, 0)))
    return [code["counts"].decode("ascii") for code in codes]


def dense_seconds(images: Sequence[Instances]) -> dict[str, Timing]:
    """Measure each step of the dense way for some images."""
    sums = {name: Timing(0, 0) for name in ("decode", "label map", "encode")}
    for cells in images:
        stack, decoding = timed(partial(dense_stack, cells.kaggle_strings(), cells.size))
        labels, painting = timed(partial(paint_stack, stack))
        strings, encoding = timed(partial(encode_stack, stack))
        if strings != cells.coco_strings() or not np.array_equal(labels, cells.label_map()):
            raise AssertionError("the two ways disagree")
        for name, timing in zip(sums, (decoding, painting, encoding), strict=True):
            sums[name] = Timing(sums[name].wall + timing.wall, sums[name].cpu + timing.cpu)
    return sums


def runs_mask_by_mask(labels: NDArray[np.int32]) -> list[str]:
    """Encode Kaggle strings as in its notebooks: one full-size mask after the other."""
    texts = []
    for label in range(1, int(labels.max()) + 1):
        pixels = (labels == label).flatten()
        pixels = np.concatenate([[0], pixels, [0]])
        runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
        runs[1::2] -= runs[::2]
        texts.append(" ".join(str(number) for number in runs))
    return texts


def runs_at_once(labels: NDArray[np.int32]) -> list[str]:
    """Encode Kaggle strings by way of `Instances`."""
    return Instances.from_label_map(labels).kaggle_strings()


def measure(csv_path: Path, every: int) -> tuple[list[Goal], dict[str, Any]]:
    """Measure all goals of this benchmark and the times behind them."""
    count, whole = timed(lambda: ours(csv_path), tries=3)
    _, reading = timed(lambda: read_table(csv_path, ANNOTATION_COLUMNS), tries=3)
    _, painted = timed(lambda: decode_and_paint(csv_path), tries=3)
    table = read_annotations(csv_path)
    sample = [table.instances(image_id) for image_id in table.ids[::every]]
    scale = count / sum(len(cells) for cells in sample)
    dense = dense_seconds(sample)
    dense_cpu = scale * sum(timing.cpu for timing in dense.values())
    # Consecutive numbers, so that both ways get the same labels.
    maps = [Instances.from_label_map(cells.label_map()).label_map() for cells in sample]
    fast, at_once = timed(lambda: [runs_at_once(labels) for labels in maps], tries=3)
    slow, by_mask = timed(lambda: [runs_mask_by_mask(labels) for labels in maps])
    if fast != slow:
        raise AssertionError("the two ways disagree")
    goals = [
        Goal("train.csv to cells, label maps, COCO strings: times faster than dense stacks",
             dense_cpu / (whole.cpu - reading.cpu), 30),
        Goal("read, decode and paint all label maps: CPU seconds", painted.cpu, 2, at_most=True),
        Goal("label map to Kaggle runs: times faster than mask by mask",
             by_mask.cpu / at_once.cpu, 30),
    ]  # fmt: skip
    details = {
        "images": len(table.ids),
        "cells": count,
        "ours_all_images": whole.as_dict(),
        "ours_of_it_file_to_strings": reading.as_dict(),
        "ratio_with_reading_the_file": round(dense_cpu / whole.cpu, 1),
        "ours_decode_and_paint": painted.as_dict(),
        "dense_sampled_images": len(sample),
        "dense_scaled_by_cells": round(scale, 3),
        "dense_sample": {name: timing.as_dict() for name, timing in dense.items()},
        "kaggle_runs_sampled_images": len(sample),
        "kaggle_runs_ours": at_once.as_dict(),
        "kaggle_runs_mask_by_mask": by_mask.as_dict(),
    }
    return goals, details


def main() -> int:
    """Measure, print and store; return the exit status."""
    parser = argparse.ArgumentParser(description="Speed of the codecs.")
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="folder with a train.csv")
    parser.add_argument("--every", type=int, default=10, help="dense side: every so many images")
    parser.add_argument("--out", type=Path, default=RESULTS / "codec_speed.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        csv_path, data = annotation_table(options.data, Path(folder))
        goals, details = measure(csv_path, options.every)
    return keep(options.out, goals, {"data": data, **details})


if __name__ == "__main__":
    sys.exit(main())
