"""Scores from counted atoms equal those of painting and matching, whatever overlaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.evaluation.threshold_scorer import ThresholdScorer
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints, SelectionParameters

SIZE = (24, 30)


def random_image(
    rng: np.random.Generator, cells: int, copies: int, size: float = 1.0
) -> tuple[Candidates, Instances]:
    """True rectangles that may overlap, and several noisy soft copies of each."""
    boxes = []
    for _ in range(cells):
        row, col = rng.integers(0, SIZE[0] - 4), rng.integers(0, SIZE[1] - 4)
        height, width = rng.integers(3, 9, 2)
        boxes.append((row, col, min(row + height, SIZE[0]), min(col + width, SIZE[1])))
    truth = Instances.from_crops(
        [(int(box[0]), int(box[1])) for box in boxes],
        [np.ones((box[2] - box[0], box[3] - box[1]), bool) for box in boxes],
        SIZE,
    )
    moved, crops = [], []
    for box in boxes * copies:
        shift = rng.integers(-1, 2, 4)
        low = np.clip(np.array(box[:2]) + shift[:2], 0, np.array(SIZE) - 1)
        high = np.clip(np.array(box[2:]) + shift[2:], low + 1, SIZE)
        moved.append((*low, *high))
        crops.append(rng.integers(60, 256, tuple(high - low)).astype(np.uint8))
    score = (rng.integers(0, 20, len(moved)) / 20).astype(np.float32)
    found = Candidates.from_crops(SIZE, np.array(moved).reshape(-1, 4), crops, score)
    return replace(found, scale_ratio=size), truth


def repainted(candidates: Candidates, truth: Instances, parameters: SelectionParameters) -> float:
    points = OperatingPoints(default=OperatingPoint(select=parameters))
    return match_counts(truth, select(candidates, points)).score


parameter_sets = st.builds(
    SelectionParameters,
    mask_threshold=st.sampled_from([0.25, 0.4, 0.5, 0.75]),
    score_threshold=st.sampled_from([0.0, 0.05, 0.3, 0.35, 0.7]),
    nms_iou=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0]),
    minimum_area=st.sampled_from([0.0, 4.0, 9.0, 20.0]),
)


@given(st.integers(0, 10**6), st.lists(parameter_sets, min_size=1, max_size=4),
       st.sampled_from([1.0, 0.7, 1.5]))  # fmt: skip
@settings(deadline=None)
def test_scores_are_those_of_painting(
    seed: int, tried: list[SelectionParameters], size: float
) -> None:
    rng = np.random.default_rng(seed)
    images = [random_image(rng, int(rng.integers(0, 9)), int(rng.integers(0, 4)), size)
              for _ in range(3)]  # fmt: skip
    for parameters in tried:
        tables = [ThresholdScorer.of_image(*each, parameters.mask_threshold) for each in images]
        exact = [repainted(*each, parameters) for each in images]
        assert ThresholdScorer.joined(tables).scores(parameters).tolist() == pytest.approx(
            exact, abs=1e-12
        )
        for table, expected in zip(tables, exact, strict=True):
            assert table.scores(parameters)[0] == pytest.approx(expected, abs=1e-12)


def test_an_empty_image_without_cells_scores_one() -> None:
    nothing = (Candidates.empty(SIZE), Instances.empty(SIZE))
    assert ThresholdScorer.of_image(*nothing, 0.5).scores(SelectionParameters()).tolist() == [1.0]
    _, truth = random_image(np.random.default_rng(0), 3, 1)
    assert ThresholdScorer.of_image(nothing[0], truth, 0.5).scores(
        SelectionParameters()
    ).tolist() == [0.0]
