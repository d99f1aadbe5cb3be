"""The speed of trying `select` parameters with counted overlaps, and their exactness.

    python -m benchmarks run tune_speed --out benchmarks/results/tune_speed.json

There are eighty simulated images with the size and number of cells of the challenge. Every true
cell has one to three moved and blurred candidates, among debris: many more overlaps than a dense
method produces. The goal is 1,000 settings within 10 s.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import RESULTS, record
from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.evaluation.threshold_scorer import ThresholdScorer
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints, SelectionParameters

IMAGES, SETTINGS, REPAINTED = 80, 1000, 10
SIZE = (520, 704)
CELLS = (5, 400)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "tune_speed.json")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    images = [seen_image(rng) for _ in range(IMAGES)]
    began = time.process_time()
    table = ThresholdScorer.joined([ThresholdScorer.of_image(*each, 0.5) for each in images])
    built = time.process_time() - began
    tried = [
        SelectionParameters(
            score_threshold=rng.uniform(0.02, 0.9), nms_iou=rng.uniform(0.1, 0.9),
            minimum_area=rng.uniform(0, 150),
        )
        for _ in range(SETTINGS)
    ]  # fmt: skip
    began = time.process_time()
    scores = [float(table.scores(parameters).mean()) for parameters in tried]
    seconds = time.process_time() - began
    began = time.process_time()
    exact = [repainted(images, parameters) for parameters in tried[:REPAINTED]]
    painting = (time.process_time() - began) / REPAINTED
    difference = float(np.abs(np.array(exact) - scores[:REPAINTED]).max())
    record(options.out, {
        "images": IMAGES,
        "true_cells": len(table.truth_area),
        "candidates": len(table.score),
        "overlapping_pairs": len(table.first),
        "clock": "CPU seconds of one thread, other jobs beside it",
        "seconds_counting_overlaps": built,
        "settings": SETTINGS,
        "seconds_all_settings": seconds,
        "seconds_a_setting_by_painting": painting,
        "times_faster": painting * SETTINGS / seconds,
        "largest_difference_from_painting": difference,
        "goal_seconds": 10,
    }, 0)  # fmt: skip
    print(f"{SETTINGS} settings in {seconds:.1f} s ({built:.1f} s to count overlaps), "
          f"painted {painting:.2f} s each, largest difference {difference:.1e}")  # fmt: skip


def seen_image(rng: np.random.Generator) -> tuple[Candidates, Instances]:
    """Return ellipses, and the candidates that a detector might find."""
    count = int(rng.integers(*CELLS))
    centres = rng.uniform((10, 10), (SIZE[0] - 10, SIZE[1] - 10), (count, 2))
    radii = rng.uniform(5, 13, (count, 2))
    truth_crops = [ellipse(*each) for each in zip(centres, radii, strict=True)]
    truth = Instances.from_crops(
        [corner for corner, _ in truth_crops], [crop > 127 for _, crop in truth_crops], SIZE
    )
    again = np.repeat(np.arange(count), rng.integers(1, 4, count))
    centres = centres[again] + rng.normal(0, 1.5, (len(again), 2))
    radii = radii[again] * rng.uniform(0.8, 1.2, (len(again), 2))
    debris = len(again) // 4
    centres = np.concatenate((centres, rng.uniform((10, 10), (510, 694), (debris, 2))))
    radii = np.concatenate((radii, rng.uniform(2, 5, (debris, 2))))
    crops = [ellipse(*each) for each in zip(centres, radii, strict=True)]
    boxes = [(row, col, row + crop.shape[0], col + crop.shape[1]) for (row, col), crop in crops]
    score = rng.uniform(0.02, 1, len(crops)).astype(np.float32)
    found = Candidates.from_crops(SIZE, np.array(boxes), [crop for _, crop in crops], score)
    return found.shift(0, 0, SIZE), truth


def ellipse(centre: np.ndarray, radii: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """Return the first pixel and the soft mask uint8[h, w], clipped to the image."""
    low = np.maximum(np.floor(centre - 1.3 * radii), 0).astype(int)
    high = np.minimum(np.ceil(centre + 1.3 * radii) + 1, SIZE).astype(int)
    rows, cols = np.ogrid[low[0] : high[0], low[1] : high[1]]
    away = np.hypot((rows - centre[0]) / radii[0], (cols - centre[1]) / radii[1])
    soft = np.clip(1.5 - away, 0, 1) * 255
    return (int(low[0]), int(low[1])), soft.astype(np.uint8)


def repainted(images: list[tuple[Candidates, Instances]], parameters: SelectionParameters) -> float:
    """Compute the mean score from painted cells."""
    points = OperatingPoints(default=OperatingPoint(select=parameters))
    return float(np.mean([
        match_counts(truth, select(found, points)).score for found, truth in images
    ]))  # fmt: skip


if __name__ == "__main__":
    main()
