from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.evaluation.confidence_bound import lower_confidence_bound
from bigkingxxl.evaluation.crossfit import halves
from bigkingxxl.evaluation.tuning import Tuner, crossfitted_points, types_to_tune
from bigkingxxl.evaluation.tuning_report import run_tuning
from bigkingxxl.images import ArrayImage, ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints, SelectionParameters

KINDS = "abcd"
IDS = tuple(f"{kind}{number}" for kind in KINDS for number in range(6))
TYPES: dict[str, str | None] = {image_id: image_id[0] for image_id in IDS}
START = OperatingPoints(
    default=OperatingPoint(select=SelectionParameters(score_threshold=0.3, minimum_area=0))
)


class Shown:
    """A true cell of score 0.9, and what else is detected.

    Type a also shows a false cell of score 0.35. Type b shows nothing else. In one image of type c
    there is a false cell, and the same score elsewhere is a true one's. Type d shows a false cell
    unless its decode parameter is 1.
    """

    decode_grid: Mapping[str, Sequence[Any]] = {"quiet": (0, 1, 2)}
    decode_defaults: Mapping[str, Any] = {"quiet": 0}
    zooms: Sequence[float] = ()

    def source(self, image_id: str) -> ImageSource:
        return ArrayImage(np.zeros((20, 30), np.float32), image_id)

    def predict(self, image_id: str) -> None:
        pass

    def decode(self, image_id: str, parameters: Mapping[str, Any]) -> Candidates:
        labels = np.zeros((20, 30), np.int32)
        labels[2:8, 2:8] = 1
        first = 0.9
        if (
            image_id[0] == "a"
            or image_id == "c0"
            or (image_id[0] == "d" and parameters.get("quiet", 0) != 1)
        ):
            labels[12:18, 12:18] = 2
        if image_id[0] == "c" and image_id != "c0":
            first = 0.35
        score = np.array([first, 0.35][: labels.max()], np.float32)
        kinds = np.zeros((len(score), len(KINDS)), np.float32)
        kinds[:, KINDS.index(image_id[0])] = 1
        return Candidates.from_label_map(
            labels, (labels > 0) * np.float32(1), score, kinds, tuple(KINDS)
        )

    def voted_type(self, image_id: str) -> str | None:
        return image_id[0]


@pytest.fixture
def tuner() -> Tuner:
    truth = np.zeros((20, 30), np.int32)
    truth[2:8, 2:8] = 1
    cells = {image_id: Instances.from_label_map(truth) for image_id in IDS}
    return Tuner(Shown(), cells, TYPES)


def test_a_parameter_changes_only_for_a_clear_gain(tuner: Tuner) -> None:
    points = tuner.tune(IDS, START)
    assert points.of("a").select.score_threshold > 0.35
    assert points.of("b") == points.of("c") == START.default
    assert points.of("d").decode == {"quiet": 1}
    assert points.tuned_on == IDS
    for image_id in IDS:
        if image_id != "c0":
            assert match_counts(tuner.truth[image_id], tuner.predict(image_id, points)).score == 1


def test_cached_scores_are_those_of_painting(tuner: Tuner) -> None:
    points = tuner.tune(IDS, START)
    for kind, own in tuner.by_type(IDS).items():
        point = points.of(kind)
        np.testing.assert_allclose(
            tuner.scores(own, point), tuner.repainted(own, point), atol=1e-12
        )


def test_minimum_areas_start_from_small_annotated_cells(tuner: Tuner) -> None:
    assert tuner.minimum_areas(IDS) == (0.0, 36.0)


def test_crossfitted_cells_use_points_of_the_other_half(tuner: Tuner) -> None:
    points = crossfitted_points(tuner, IDS, START)
    cells = {each: tuner.predict(each, points[each]) for each in IDS}
    first, second = halves(IDS, TYPES, {})
    assert tuple(points) == tuple(cells) == IDS
    assert {points[image_id].tuned_on for image_id in first} == {second}
    assert {points[image_id].tuned_on for image_id in second} == {first}
    assert all(len(cells[image_id]) == 1 for image_id in IDS if image_id != "c0")


def test_a_run_reports_changes_and_gains(tuner: Tuner) -> None:
    result = run_tuning(tuner, IDS, START)
    assert {kind for kind, each in result.by_type.items() if each.kept} == {"a", "d"}
    assert result.by_type["d"].moved == {"quiet": (0, 1)}
    assert result.by_type["a"].before == pytest.approx(0.5)
    assert result.by_type["a"].after == result.by_type["a"].repainted == 1
    assert result.by_type["a"].crossfitted_gain == pytest.approx(0.5)
    assert result.crossfitted is not None
    assert result.crossfitted.mean - result.start.mean == pytest.approx(0.25)
    assert result.points.of("b") == START.default
    assert result.points.tuned_on == IDS


def test_parameters_that_do_not_generalise_are_not_kept(tuner: Tuner) -> None:
    """Only all images of a single field suffice to move the parameter: no half has two."""
    tuner.groups = {image_id: f"{image_id[0]} {int(image_id[1]) % 2}" for image_id in IDS}
    result = run_tuning(tuner, [each for each in IDS if each[0] == "a"], START)
    assert result.by_type["a"].moved
    assert result.by_type["a"].crossfitted_gain == 0
    assert not result.by_type["a"].kept
    assert result.points.of("a") == START.default


def test_images_of_types_the_model_does_not_know() -> None:
    types: dict[str, str | None] = {"a1": "cell", "b1": "b", "c1": None}
    assert types_to_tune(Shown(), KINDS, types) == {"a1": "a", "b1": "b", "c1": None}
    assert types_to_tune(Shown(), ("x",), types) == {"a1": "x", "b1": "x", "c1": None}


@pytest.mark.parametrize(
    ("gains", "groups", "sure"),
    [
        ([0.1, 0.1, 0.1, 0.1], {}, True),
        ([0.4, 0.0, 0.0, 0.0], {}, False),
        ([0.1, 0.1], {"0": "one", "1": "one"}, False),
        ([0.1, 0.1, -0.2, -0.2], {}, False),
    ],
)
def test_a_gain_in_many_groups_is_clear(
    gains: list[float], groups: dict[str, str], sure: bool
) -> None:
    ids = [str(number) for number in range(len(gains))]
    assert (lower_confidence_bound(np.array(gains), ids, groups) > 0) == sure


def test_the_lower_bound_is_that_of_a_student_interval() -> None:
    from scipy import stats

    gains = np.array([0.02, 0.05, -0.01, 0.04, 0.03])
    expected = stats.ttest_1samp(gains, 0).confidence_interval(0.8).low
    assert lower_confidence_bound(gains, list("abcde"), {}, confidence=0.9) == pytest.approx(
        expected
    )
