"""Overlaps of two sets of cells, compared with dense masks and pycocotools."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pycocotools import mask as coco

from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import iou_pairs, label_overlaps, overlaps, overlaps_among
from tests.support import Stack, instances_of


@st.composite
def pairs_of_stacks(draw: st.DrawFn) -> tuple[Stack, Stack]:
    """Two stacks of masks of one size."""
    size = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    first, second = (draw(hnp.arrays(np.bool_, (draw(st.integers(0, 4)), *size))) for _ in range(2))
    return first, second


@given(pairs_of_stacks())
def test_pairs_come_sorted_and_each_once(pair: tuple[Stack, Stack]) -> None:
    first, second = pair
    found = overlaps(instances_of(first), instances_of(second))
    expected = np.einsum("nhw,mhw->nm", first.astype(int), second.astype(int))
    assert [(i, j) for i, j in zip(found.first, found.second, strict=True)] == [
        (i, j) for i, j in np.argwhere(expected)
    ]
    assert found.pixels.tolist() == expected[expected > 0].tolist()


@given(pairs_of_stacks())
def test_iou_equals_pycocotools(pair: tuple[Stack, Stack]) -> None:
    one, two, value = iou_pairs(*map(instances_of, pair))
    encoded = [
        coco.encode(np.asfortranarray(stack.transpose(1, 2, 0).astype(np.uint8))) for stack in pair
    ]
    shape = (len(pair[0]), len(pair[1]))
    expected = coco.iou(*encoded, [0] * shape[1]) if 0 not in shape else []
    found = np.zeros(shape)
    found[one, two] = value
    np.testing.assert_allclose(found, np.reshape(expected, shape), rtol=1e-12)


@given(pairs_of_stacks())
def test_a_set_with_itself(pair: tuple[Stack, Stack]) -> None:
    cells = instances_of(pair[0])
    twice, once = overlaps(cells, cells), overlaps_among(cells)
    again = overlaps(cells, instances_of(pair[0]))
    assert all(np.array_equal(*each) for each in zip(twice, again, strict=True))
    below = twice.first < twice.second
    assert all(np.array_equal(a[below], b) for a, b in zip(twice, once, strict=True))


def test_runs_below_a_long_run_are_not_compared_with_each_other() -> None:
    """A cell as wide as the image, over 50,000 small ones of one row."""
    count = 50_000
    col = 2 * np.arange(count)
    runs = np.stack((0 * col, col, col + 1), axis=1)
    runs = np.concatenate(([[0, 0, 2 * count]], runs))
    cells = Instances.from_runs(runs, np.arange(count + 1), count + 1, (1, 2 * count))
    tracemalloc.start()
    found = overlaps_among(cells)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert found.first.tolist() == [0] * count
    assert found.second.tolist() == list(range(1, count + 1))
    assert set(found.pixels.tolist()) == {1}


def test_only_overlapping_pairs_are_returned() -> None:
    stack = np.eye(9, dtype=bool).reshape(9, 3, 3)
    one, two, value = iou_pairs(instances_of(stack), instances_of(stack))
    assert one.tolist() == two.tolist() == list(range(9))
    assert value.tolist() == [1.0] * 9


def test_large_cells_are_counted_exactly() -> None:
    """Beyond 2 ** 24 pixels, float32 cannot represent odd numbers."""
    rows = np.stack((np.arange(4097), np.zeros(4097), np.full(4097, 4097)), axis=1).astype(int)
    cell = Instances.from_runs(rows, np.zeros(4097, np.int64), 1, (4097, 4097))
    assert overlaps(cell, cell).pixels.tolist() == [4097 * 4097]
    assert iou_pairs(cell, cell)[2].tolist() == [1.0]


def test_cells_of_different_images_are_not_compared() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        overlaps(instances_of(np.ones((1, 3, 4), bool)), instances_of(np.ones((1, 4, 3), bool)))


@given(hnp.arrays(np.int32, (5, 6), elements=st.sampled_from([0, 0, 1, 2, 7, 70_000])), st.data())
def test_overlaps_of_label_maps_are_those_of_their_cells(
    first: NDArray[np.int32], data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from([np.uint8, np.int64]))
    second = data.draw(hnp.arrays(kind, (5, 6), elements=st.integers(0, 4)))
    one, two = Instances.from_label_map(first), Instances.from_label_map(second)
    found, first_areas, second_areas = label_overlaps(first, second)
    expected = overlaps(one, two)
    assert [each.tolist() for each in found] == [each.tolist() for each in expected]
    assert first_areas.tolist() == one.areas().tolist()
    assert second_areas.tolist() == two.areas().tolist()
