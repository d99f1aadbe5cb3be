"""The memory for predicting and scoring an image of 800 cells, without the network's.

    python -m benchmarks run predict_memory [--cells 800] [--scale 1.5] [--out FILE]

The network is an oracle: the channels of the image are the true maps of drawn, touching cells.
Everything else is as in `bigkingxxl predict` and `evaluate`: tiles, blending, decoding, selection,
all tables, both metrics. Two peaks are recorded: what Python and numpy allocate (tracemalloc), and
the growth of the process beyond what it needed for an image of 8 cells. The exit status is 1 if a
goal is missed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drawn_cells import SIZE, ellipse
from benchmarks.harness import RESULTS, Goal, keep
from bigkingxxl.decoding.base import Float32
from bigkingxxl.decoding.watershed import Watershed
from bigkingxxl.evaluation.average_precision import coco_table
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.images import ArrayImage, Normalisation
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import write_results
from bigkingxxl.io.annotations.kaggle import write_submission
from bigkingxxl.io.annotations.label_images import write_label_image
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.operating_points import OperatingPoints

TYPES = ("astro", "cort", "shsy5y")
MEGABYTE = 1e6
LINEAR = Normalisation(limit=1e9)  # no clipping, so that an oracle can invert it


def touching_cells(count: int) -> Instances:
    """Return ellipses in rows and columns, each touching its neighbours."""
    cols = round((count * SIZE[1] / SIZE[0]) ** 0.5)
    rows = -(-count // cols)
    height, width = SIZE[0] // rows, SIZE[1] // cols
    corners = [(height * (k // cols), width * (k % cols)) for k in range(count)]
    return Instances.from_crops(
        corners, [ellipse(height, width)] * count, SIZE,
        cell_type=np.full(count, 2), type_names=TYPES,
    )  # fmt: skip


class Oracle:
    """A maps function that inverts the normalisation of an image whose channels are maps."""

    def __init__(self, image: ArrayImage) -> None:
        statistics = image.statistics
        self.middle = statistics.percentile(50)[:, None, None]
        spread = statistics.percentile(LINEAR.high) - statistics.percentile(LINEAR.low)
        self.spread = np.maximum(spread, 1e-6)[:, None, None]

    def __call__(self, tiles: Float32) -> Float32:
        """Return the maps of some tiles."""
        maps: Float32 = tiles * (self.spread / 2) + self.middle
        return maps


def predict_and_evaluate(truth: Instances, scale: float, out: Path) -> tuple[int, float]:
    """Predict and evaluate an image; return the number of cells and their mAP."""
    representation = Watershed(TYPES)
    image = ArrayImage(representation.targets(truth.planes(), truth.cell_type))
    predictor = DensePredictor(
        Oracle(image), representation, normalisation=LINEAR, points=OperatingPoints(),
        settings=PredictionSettings(scale=scale, tile=512, tta=("flips",)),
    )  # fmt: skip
    candidates = predictor.candidates(image)
    cells = select(candidates, OperatingPoints())
    candidates.save(out / "candidates.npz")
    write_label_image(out / "labels.tif", cells)
    write_submission(out / "submission.csv", {"image": cells})
    write_results(out / "results.json", {"image": candidates})
    score = competition_map({"image": truth}, {"image": cells}, {"image": TYPES[2]})
    coco_table({"image": truth}, {"image": candidates})
    return len(cells), score.mean


def grown() -> float:
    """Return the peak memory of the process in megabytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def measure(count: int, scale: float) -> tuple[list[Goal], dict[str, Any]]:
    """Measure both peaks and what was found."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        predict_and_evaluate(touching_cells(8), 0.2, out)  # imports and caches
        truth, before = touching_cells(count), grown()
        found, score = predict_and_evaluate(truth, scale, out)
        rise = grown() - before
        tracemalloc.start()
        predict_and_evaluate(truth, scale, out)
        peak = tracemalloc.get_traced_memory()[1] / MEGABYTE
        tracemalloc.stop()
    goals = [
        Goal("predict and evaluate: peak of Python and numpy, MB", peak, 300, at_most=True),
        Goal("predict and evaluate: growth of the process, MB", rise, 300, at_most=True),
    ]
    details = {"image": list(SIZE), "cells": count, "found": found, "scale": scale,
               "competition_map": round(score, 4)}  # fmt: skip
    return goals, details


def main() -> int:
    """Measure, print and store; return the exit status."""
    parser = argparse.ArgumentParser(description="Memory of prediction and scoring.")
    parser.add_argument("--cells", type=int, default=800)
    parser.add_argument("--scale", type=float, default=1.5, help="network pixels per image pixel")
    parser.add_argument("--out", type=Path, default=RESULTS / "predict_memory.json")
    options = parser.parse_args()
    goals, details = measure(options.cells, options.scale)
    return keep(options.out, goals, details)


if __name__ == "__main__":
    sys.exit(main())
