"""Cells in focus have outlines, whatever their size; what a blurred image shows has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.domain.sharpness import is_out_of_focus
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.selection import Selection


def discs(diameter: int, count: int = 3) -> NDArray[np.int32]:
    """Discs beside each other, each in a square of twice its diameter."""
    side = 2 * diameter
    row, col = np.mgrid[:side, : side * count]
    inside = np.hypot(row - side / 2, col % side - side / 2) < diameter / 2
    return np.where(inside, col // side + 1, 0).astype(np.int32)


def seen(labels: NDArray[np.int32], blur: float, noise: float = 0.0) -> ArrayImage:
    pixels = ndimage.gaussian_filter(np.where(labels > 0, 160.0, 100.0), blur)
    pixels += np.random.default_rng(0).normal(0, noise, labels.shape)
    return ArrayImage(pixels.astype(np.float32), "discs")


@pytest.mark.parametrize("diameter", [40, 90, 200])
@pytest.mark.parametrize("noise", [0.0, 6.0])
def test_what_is_blurred_by_half_a_diameter_has_no_outline(diameter: int, noise: float) -> None:
    labels = discs(diameter)
    cells = Instances.from_label_map(labels)
    assert is_out_of_focus(seen(labels, diameter / 2, noise / 6), cells)
    assert not is_out_of_focus(seen(labels, diameter / 20, noise), cells)


def test_small_cells_and_no_cells_are_not_judged() -> None:
    small = discs(20)
    assert not is_out_of_focus(seen(small, 10), Instances.from_label_map(small))
    assert not is_out_of_focus(seen(small, 10), Instances.from_label_map(0 * small))


def test_one_flawed_cell_does_not_decide() -> None:
    labels = discs(60, 5)
    pixels = np.where(labels > 0, 160.0, 100.0)
    pixels[:, 240:] = ndimage.gaussian_filter(pixels, 30)[:, 240:]
    source = ArrayImage(pixels.astype(np.float32), "half")
    assert is_out_of_focus(source, Instances.from_label_map(np.where(labels > 2, labels, 0)))
    assert not is_out_of_focus(source, Instances.from_label_map(np.where(labels < 4, labels, 0)))


def test_a_selection_leaves_them_out_and_says_so() -> None:
    labels = discs(60)
    blurred, sharp = seen(labels, 30), seen(labels, 1)
    scores = np.full(3, 0.9, np.float32)
    found = Candidates.from_label_map(labels, (labels > 0).astype(np.float32), scores)
    selection = Selection(OperatingPoints())
    cells, told = selection.cells_of(blurred, found)
    assert (len(cells), len(told)) == (0, 1)
    assert cells.size == labels.shape
    assert "--keep-blurred" in told[0]
    assert "3" in told[0]
    for kept in (
        selection.cells_of(sharp, found),
        replace(selection, keep_blurred=True).cells_of(blurred, found),
    ):
        assert (len(kept[0]), kept[1]) == (3, ())
