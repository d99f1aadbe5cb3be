"""How training treats broken annotations: holes are filled, stray pieces and specks left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from scipy import ndimage

from bigkingxxl.data.label_policy import (
    SPECK,
    apply_policy,
    fill_holes,
    flaws,
    largest_parts,
    without_specks,
)
from bigkingxxl.instances import Instances
from tests.support import Stack, instances_of, stack_of, stacks


@given(stacks(max_cells=5, max_side=10))
def test_only_holes_are_filled(stack: Stack) -> None:
    expected = [ndimage.binary_fill_holes(mask) for mask in stack]
    found = stack_of(fill_holes(instances_of(stack)))
    assert found.shape == stack.shape
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@given(stacks(max_cells=5, max_side=10))
def test_the_largest_part_of_each_cell_is_kept(stack: Stack) -> None:
    found = stack_of(largest_parts(instances_of(stack)))
    assert found.shape == stack.shape
    for mask, kept in zip(stack, found, strict=True):
        pieces, count = ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        assert kept.sum() == sizes.max(initial=0)
        assert not (kept & ~mask).any()
        assert ndimage.label(kept, np.ones((3, 3)))[1] == min(count, 1)


@given(stacks(max_cells=5, max_side=6))
def test_specks_are_left_out(stack: Stack) -> None:
    kept = [mask for mask in stack if mask.sum() >= SPECK]
    found = stack_of(without_specks(instances_of(stack)))
    assert len(found) == len(kept)
    assert all(np.array_equal(a, b) for a, b in zip(found, kept, strict=True))


def broken() -> Instances:
    """A ring, a cell with a stray piece and a speck, of types 1, 0 and 1."""
    labels = np.zeros((20, 30), np.int32)
    labels[2:8, 2:8] = 3
    labels[4:6, 4:6] = 0
    labels[10:16, 10:18] = 7
    labels[0, 29] = 7
    labels[18, 3] = 9
    return Instances.from_label_map(
        labels, cell_type=np.array([1, 0, 1]), type_names=("a", "b"), pixel_size_um=(0.5, 0.5)
    )


@pytest.mark.parametrize(
    ("policy", "areas", "types"),
    [
        ("as_annotated", [32, 49, 1], [1, 0, 1]),
        ("fill_holes", [36, 49, 1], [1, 0, 1]),
        ("mended", [36, 48], [1, 0]),
    ],
)
def test_a_policy_makes_its_own_corrections(
    policy: str, areas: list[int], types: list[int]
) -> None:
    cells = apply_policy(broken(), policy)  # type: ignore[arg-type]
    assert cells.areas().tolist() == areas
    assert cells.cell_type.tolist() == types
    assert cells.type_names == ("a", "b")
    assert cells.pixel_size_um == (0.5, 0.5)


def test_flaws_are_counted() -> None:
    found = flaws(broken())
    assert (found.fragmented, found.specks) == (1, 1)


def test_an_image_without_cells_is_unchanged() -> None:
    empty = Instances.empty((5, 6))
    assert len(apply_policy(empty, "mended")) == 0
    assert (flaws(empty).fragmented, flaws(empty).specks) == (0, 0)
