from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.evaluation.crossfit import halves
from bigkingxxl.evaluation.tuning import Tuner, crossfitted
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints, SelectKnobs

IDS = tuple(f"{kind}{number}" for kind in "ab" for number in range(6))
START = OperatingPoints(
    default=OperatingPoint(select=SelectKnobs(score_threshold=0.3, minimum_area=0))
)


def seen(image_id: str, knobs: Mapping[str, Any]) -> Candidates:
    """A true cell of score 0.9; type a also shows a false one of score 0.35."""
    labels = np.zeros((20, 30), np.int32)
    labels[2:8, 2:8] = 1
    if image_id.startswith("a"):
        labels[12:18, 12:18] = 2
    score = np.array([0.9, 0.35][: labels.max()], np.float32)
    kinds = np.zeros((len(score), 2), np.float32)
    kinds[:, "ab".index(image_id[0])] = 1
    return Candidates.from_label_map(labels, (labels > 0) * np.float32(1), score, kinds, ("a", "b"))


@pytest.fixture
def tuner() -> Tuner:
    truth = np.zeros((20, 30), np.int32)
    truth[2:8, 2:8] = 1
    cells = {image_id: Instances.from_label_map(truth) for image_id in IDS}
    return Tuner(seen, cells, {image_id: image_id[0] for image_id in IDS})


def test_a_knob_moves_only_where_it_gains(tuner: Tuner) -> None:
    points = tuner.tune(IDS, START)
    assert points.of("a").select.score_threshold > 0.35
    assert points.of("b") == START.default
    assert points.tuned_on == IDS
    for image_id in IDS:
        assert match_counts(tuner.truth[image_id], tuner.predict(image_id, points)).score == 1


def test_crossfitted_cells_come_from_points_of_the_other_half(
    tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = {}
    predict = tuner.predict

    def noted(image_id: str, points: OperatingPoints) -> Instances:
        used[image_id] = points.tuned_on
        return predict(image_id, points)

    monkeypatch.setattr(tuner, "predict", noted)
    found = crossfitted(tuner, IDS, {}, START)
    first, second = halves(IDS, tuner.types, {})
    assert tuple(found) == IDS
    assert {used[image_id] for image_id in first} == {second}
    assert {used[image_id] for image_id in second} == {first}
    assert all(len(cells) == 1 for cells in found.values())
