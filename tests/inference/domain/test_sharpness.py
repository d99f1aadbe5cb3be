"""Cells in focus have outlines, whatever their size; what a blurred image shows has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.domain.sharpness import is_out_of_focus
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.selection import Selection
from tests.blurred import discs, found_in, seen


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
    found = found_in(labels)
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
