"""Polygons as pixels: COCO's own tools agree, and memory follows the drawn area."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bigkingxxl.io.annotations import polygons
from bigkingxxl.io.annotations.polygons import fill_polygons

COORDINATES = st.one_of(st.integers(-400, 400), st.floats(-400, 400, width=32))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools, numpy 2
@given(
    st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([1, 1 << 20]),
)
def test_pixels_are_cocos(
    points: list[tuple[float, float]], size: tuple[int, int], at_once: int
) -> None:
    polygon = np.array(points, np.float64)
    codes = coco_mask.frPyObjects([polygon.ravel().tolist()], *size)
    expected = coco_mask.decode(coco_mask.merge(codes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(polygons, "MOST_CROSSINGS", at_once)
        runs, owner = fill_polygons([polygon], size)
    found = np.zeros(size, np.uint8)
    for row, start, stop in runs:
        found[row, start:stop] += 1
    np.testing.assert_array_equal(found, expected)
    assert not owner.any()


@pytest.mark.parametrize("reach", [300, 1e8])
def test_memory_does_not_follow_the_length_of_the_outline(reach: float) -> None:
    """An outline of 8,000 points, some of them very far away."""
    points = np.stack((np.tile([-reach, reach], 4000), np.linspace(0, 300, 8000)), axis=1)
    tracemalloc.start()
    runs, _ = fill_polygons([points], (20_000, 300))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(runs) > 100
    assert peak < 250e6
