"""Cells as row runs, compared with the same operations on dense stacks of masks."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bigkingxxl.geometry import SYMMETRIES, Symmetry, Window
from bigkingxxl.instances import Instances
from tests.support import Stack, instances_of, naive_runs, stack_of, stacks


def typed(stack: Stack) -> Instances:
    """Cells with every attribute that must be kept."""
    count = len(stack)
    return instances_of(
        stack,
        cell_type=np.arange(count) % 3,
        type_names=("a", "b", "c"),
        score=np.linspace(0, 1, count, dtype=np.float32),
        pixel_size_um=(0.5, 0.25),
    )


def assert_canonical(instances: Instances) -> None:
    """Runs are sorted, merged and inside, cell after cell, in the documented dtypes."""
    dtypes = [instances.runs.dtype, instances.splits.dtype, instances.cell_type.dtype]
    assert dtypes == [np.dtype(each) for each in ("int32", "int64", "int16")]
    for mask, first, last in zip(
        stack_of(instances), instances.splits[:-1], instances.splits[1:], strict=True
    ):
        rows = [
            [row, start, start + length]
            for row in range(len(mask))
            for start, length in naive_runs(mask[row])
        ]
        assert instances.runs[first:last].tolist() == rows


# ---- making ------------------------------------------------------------------------------------


@given(stacks())
def test_pixels_in_any_order_and_twice_make_the_same_cells(stack: Stack) -> None:
    plain = instances_of(stack)
    assert_canonical(plain)
    assert np.array_equal(stack_of(plain), stack)
    owner, row, col = np.nonzero(stack)
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(owner)), 2))
    size = plain.size
    mixed = Instances.from_pixels(owner[order], (row * size[1] + col)[order], len(stack), size)
    assert np.array_equal(mixed.runs, plain.runs)
    assert np.array_equal(mixed.splits, plain.splits)


runs_of_two_cells = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 8), st.integers(0, 8)),
    max_size=14,
)


@given(runs_of_two_cells)
def test_overlapping_touching_and_empty_runs_merge(
    given_runs: list[tuple[int, int, int, int]],
) -> None:
    stack = np.zeros((2, 4, 8), bool)
    runs = []
    for owner, row, one, other in given_runs:
        start, stop = min(one, other), max(one, other)
        stack[owner, row, start:stop] = True
        runs.append((owner, row, start, stop))
    array = np.array(runs, np.int64).reshape(-1, 4)
    found = Instances.from_runs(array[:, 1:], array[:, 0], 2, (4, 8))
    assert_canonical(found)
    assert np.array_equal(stack_of(found), stack)


def test_a_run_to_the_rows_end_does_not_swallow_the_next_row() -> None:
    runs = np.array([[0, 2, 4], [1, 0, 2]])
    found = Instances.from_runs(runs, np.zeros(2, np.int64), 1, (2, 4))
    assert found.runs.tolist() == runs.tolist()


@given(hnp.arrays(np.uint16, (5, 6), elements=st.sampled_from([0, 1, 2, 7, 300, 65535])))
def test_a_label_map_becomes_its_cells_in_the_order_of_labels(
    label_map: NDArray[np.uint16],
) -> None:
    labels = [label for label in np.unique(label_map).tolist() if label]
    cells = Instances.from_label_map(label_map, cell_type=np.arange(len(labels)))
    assert_canonical(cells)
    stack = np.array([label_map == label for label in labels]).reshape(-1, 5, 6)
    assert np.array_equal(stack_of(cells), stack)
    assert cells.cell_type.tolist() == list(range(len(labels)))


@pytest.mark.parametrize(
    ("labels", "dtype"), [([True], bool), ([-7, 3], np.int32), ([5, 2**31 - 1], np.int64)]
)
def test_labels_of_any_integer_dtype(labels: list[int], dtype: type) -> None:
    label_map: NDArray[Any] = np.zeros((3, 5), dtype)
    for row, label in enumerate(labels):
        label_map[row, 1:4] = label
    cells = Instances.from_label_map(label_map)
    assert cells.runs.tolist() == [[row, 1, 4] for row in range(len(labels))]


def test_more_than_65535_cells_keep_their_labels() -> None:
    """Lesson 4: no number of cells wraps around."""
    label_map = np.arange(1, 70_001, dtype=np.int32).reshape(250, 280)
    cells = Instances.from_label_map(label_map)
    assert len(cells) == 70_000
    assert np.array_equal(cells.label_map(), label_map)
    assert np.array_equal(cells.planes()[0], label_map)


@given(stacks(), st.integers(-4, 4), st.integers(-4, 4))
def test_crops_are_pasted_and_cut_at_the_border(stack: Stack, row: int, col: int) -> None:
    size = (6, 7)
    cells = Instances.from_crops([(row, col)] * len(stack), list(stack), size)
    assert_canonical(cells)
    expected = np.zeros((len(stack), *size), bool)
    for index, r, c in np.argwhere(stack):
        if 0 <= r + row < size[0] and 0 <= c + col < size[1]:
            expected[index, r + row, c + col] = True
    assert np.array_equal(stack_of(cells), expected)


def test_no_cells() -> None:
    none = Instances.empty((3, 4), ("x", "y"))
    assert (len(none), none.size, none.type_names) == (0, (3, 4), ("x", "y"))
    assert none.areas().tolist() == []
    assert none.boxes().shape == (0, 4)
    assert none.planes().shape == (1, 3, 4)
    assert not none.label_map().any()
    assert none.kaggle_strings() == none.coco_strings() == []
    assert len(none.transform(Symmetry(1))) == len(none.disjoint()) == 0
    assert len(Instances.concatenate([none, none])) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell_type": np.zeros(3, np.int16)}, "2 cells need 2"),
        ({"score": np.zeros(1, np.float32)}, "2 cells need 2"),
        ({"splits": np.array([0, 1, 3])}, "number of runs"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, object], message: str) -> None:
    plain: dict[str, object] = {
        "runs": np.array([[0, 0, 1], [1, 0, 1]], np.int32),
        "splits": np.array([0, 1, 2]),
        "size": (2, 2),
        "cell_type": np.zeros(2, np.int16),
    }
    with pytest.raises(ValueError, match=message):
        Instances(**(plain | fields))  # type: ignore[arg-type]


@given(stacks(max_cells=3))
def test_sets_of_one_image_are_joined(stack: Stack) -> None:
    cells = typed(stack)
    both = Instances.concatenate([cells, cells.take([]), cells])
    assert_canonical(both)
    assert np.array_equal(stack_of(both), np.concatenate((stack, stack)))
    assert both.cell_type.tolist() == cells.cell_type.tolist() * 2
    assert both.score is not None
    unscored = Instances.concatenate([cells, instances_of(stack)])
    assert unscored.score is None


# ---- measuring ---------------------------------------------------------------------------------


@given(stacks())
def test_areas_boxes_pixels_and_masks(stack: Stack) -> None:
    cells = instances_of(stack)
    assert cells.areas().tolist() == stack.sum(axis=(1, 2)).tolist()
    for index, mask in enumerate(stack):
        assert np.array_equal(cells.mask(index), mask)
        rows, cols = np.nonzero(mask)
        box = [0, 0, 0, 0] if not len(rows) else [
            rows.min(), cols.min(), rows.max() + 1, cols.max() + 1]  # fmt: skip
        assert cells.boxes()[index].tolist() == box
    owner, flat = cells.pixels()
    assert np.array_equal(owner * stack[0].size + flat if len(stack) else owner,
                          np.flatnonzero(stack))  # fmt: skip


# ---- painting ----------------------------------------------------------------------------------


@given(stacks(max_cells=6), st.randoms(use_true_random=False))
def test_later_cells_of_the_order_cover_earlier_ones(stack: Stack, random: object) -> None:
    cells = instances_of(stack)
    order = list(range(len(stack)))
    random.shuffle(order)  # type: ignore[attr-defined]
    painted = np.zeros(stack.shape[1:], np.int32)
    for cell in order:
        painted[stack[cell]] = cell + 1
    assert np.array_equal(cells.label_map(np.array(order, np.int64)), painted)
    plain = np.zeros(stack.shape[1:], np.int32)
    for cell, mask in enumerate(stack):
        plain[mask] = cell + 1
    assert np.array_equal(cells.label_map(), plain)


def test_an_order_may_name_some_cells_only() -> None:
    stack = np.ones((3, 1, 1), bool)
    cells = instances_of(stack)
    assert cells.label_map(np.array([2, 0])).tolist() == [[1]]
    assert cells.label_map(np.array([False, True, False])).tolist() == [[2]]
    assert cells.label_map(np.array([], np.int64)).tolist() == [[0]]


@given(stacks(max_cells=6, max_side=6))
def test_planes_hold_every_cell_whole(stack: Stack) -> None:
    planes = instances_of(stack).planes()
    assert planes.dtype == np.int32
    for cell, mask in enumerate(stack):
        found = planes == cell + 1
        assert np.array_equal(found.any(axis=0), mask)
        assert found.any(axis=(1, 2)).sum() <= 1
    # No more planes than the cell with the most overlapping neighbours requires.
    overlapping = [sum(bool((a & b).any()) for b in stack) for a in stack]
    assert len(planes) <= max(overlapping, default=1) or len(planes) == 1


def test_cells_that_do_not_overlap_share_one_plane() -> None:
    stack = np.eye(16, dtype=bool).reshape(16, 4, 4)
    assert len(instances_of(stack).planes()) == 1
    twice = np.concatenate((stack, stack))
    assert len(instances_of(twice).planes()) == 2


@given(stacks(max_cells=6), st.randoms(use_true_random=False))
def test_disjoint_cells_equal_painted_labels(stack: Stack, random: object) -> None:
    order = list(range(len(stack)))
    random.shuffle(order)  # type: ignore[attr-defined]
    cells = typed(stack)
    found = cells.disjoint(np.array(order, np.int64))
    assert_canonical(found)
    expected = stack.copy()
    for place, cell in enumerate(order):
        for later in order[place + 1 :]:
            expected[cell] &= ~stack[later]
    assert np.array_equal(stack_of(found), expected)
    assert all(not (a & b).any() for a, b in combinations(stack_of(found), 2))
    assert found.cell_type.tolist() == cells.cell_type.tolist()
    assert found.score is cells.score or np.array_equal(found.score, cells.score)  # type: ignore[arg-type]
    assert found.pixel_size_um == cells.pixel_size_um


# ---- choosing and moving -----------------------------------------------------------------------


@given(stacks(max_cells=5), st.data())
def test_take_chooses_by_index_and_by_mask(stack: Stack, data: st.DataObject) -> None:
    cells = typed(stack)
    chosen = data.draw(st.lists(st.integers(0, len(stack) - 1))) if len(stack) else []
    found = cells.take(chosen)
    assert_canonical(found)
    assert np.array_equal(stack_of(found), stack[chosen])
    assert found.cell_type.tolist() == [cells.cell_type[index] for index in chosen]
    mask = np.arange(len(stack)) % 2 == 0
    assert np.array_equal(stack_of(cells.take(mask)), stack[mask])


@given(stacks(), st.integers(-3, 9), st.integers(-3, 9), st.integers(1, 9), st.integers(1, 9))
def test_a_crop_is_the_window_of_each_mask(
    stack: Stack, row: int, col: int, height: int, width: int
) -> None:
    found = typed(stack).crop(Window(row, col, row + height, col + width))
    assert_canonical(found)
    padded = np.pad(stack, ((0, 0), (20, 20), (20, 20)))
    window = padded[:, row + 20 : row + 20 + height, col + 20 : col + 20 + width]
    assert np.array_equal(stack_of(found), window)
    assert len(found.cell_type) == len(stack)


@given(stacks(), st.integers(-5, 5), st.integers(-5, 5))
def test_a_shift_is_undone_by_its_opposite_where_nothing_was_cut(
    stack: Stack, rows: int, cols: int
) -> None:
    cells = typed(stack)
    wide = cells.shift(10, 10, (cells.size[0] + 20, cells.size[1] + 20))
    back = wide.shift(rows, cols, wide.size).shift(-10 - rows, -10 - cols, cells.size)
    assert np.array_equal(back.runs, cells.runs)
    assert np.array_equal(back.splits, cells.splits)


@given(stacks(), st.sampled_from(SYMMETRIES))
def test_cells_are_turned_with_their_image(stack: Stack, symmetry: Symmetry) -> None:
    cells = typed(stack)
    turned = cells.transform(symmetry)
    assert_canonical(turned)
    assert np.array_equal(stack_of(turned), symmetry.apply(stack))
    assert turned.cell_type.tolist() == cells.cell_type.tolist()
    quarter = symmetry.quarter_turns % 2
    assert turned.pixel_size_um == ((0.25, 0.5) if quarter else (0.5, 0.25))
    back = turned.transform(symmetry.inverse)
    assert np.array_equal(back.runs, cells.runs)
    assert back.pixel_size_um == cells.pixel_size_um
