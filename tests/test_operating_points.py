"""Operating points: a set of parameters per cell type, defaults for the rest, plain values."""

from __future__ import annotations

import pytest

from bigkingxxl.errors import SettingsError
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints, SelectionParameters
from bigkingxxl.settings import checked
from tests.refusals import refused

POINTS = {
    "by_type": {"astro": {"select": {"minimum_area": 75}, "decode": {"seed_distance": 0.4}}},
    "default": {"select": {"score_threshold": 0.6}},
    "tuned_on": ["a", "b"],
}


def test_a_type_has_its_own_parameters_and_the_rest_the_default() -> None:
    points = checked(OperatingPoints, POINTS)
    assert points.of("astro").select.minimum_area == 75
    assert points.of("astro").select.score_threshold == SelectionParameters().score_threshold
    assert points.of("astro").decode == {"seed_distance": 0.4}
    for other in ("cort", None, ""):
        assert points.of(other).select.score_threshold == 0.6
    assert OperatingPoints().of("astro") == OperatingPoint()


def test_they_survive_as_json() -> None:
    points = checked(OperatingPoints, POINTS)
    assert OperatingPoints.model_validate_json(points.model_dump_json()) == points


@pytest.mark.parametrize(
    ("values", "key", "found"),
    [
        ({"by_type": {"astro": {"select": {"nms": 0.5}}}}, "by_type.astro.select.nms", None),
        ({"default": {"select": {"score_threshold": 2}}}, "default.select.score_threshold", 2),
        ({"default": {"select": {"minimum_area": -1}}}, "default.select.minimum_area", -1),
        ({"type_vote": "picture"}, "type_vote", "picture"),
    ],
)
def test_impossible_parameters_are_refused(
    values: dict[str, object], key: str, found: object
) -> None:
    with refused(SettingsError, key=key, found=found):
        checked(OperatingPoints, values)
