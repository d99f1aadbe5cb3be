"""The width of cells, for shapes whose mean distance to the border is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bigkingxxl.cell_widths import COMPACT, cell_widths, typical_size
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.instances import Instances


def disc(diameter: float, size: int = 200) -> NDArray[np.bool_]:
    rows, cols = np.mgrid[:size, :size] - (size - 1) / 2
    inside: NDArray[np.bool_] = rows**2 + cols**2 <= (diameter / 2) ** 2
    return inside


def widths(*masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    flat = [np.flatnonzero(mask) for mask in masks]
    owner = np.repeat(np.arange(len(masks)), [len(each) for each in flat])
    cells = Instances.from_pixels(owner, np.concatenate(flat), len(masks), masks[0].shape)
    return cell_widths(cells)


@pytest.mark.parametrize("diameter", [6, 15, 40, 121])
def test_a_disc_is_as_wide_as_its_diameter_in_units_of_real_cells(diameter: int) -> None:
    assert widths(disc(diameter))[0] * COMPACT == pytest.approx(diameter, rel=0.08, abs=1.3)


@pytest.mark.parametrize("width", [8, 20])
def test_of_a_long_bar_the_length_does_not_count(width: int) -> None:
    """The mean distance to the border of a bar is a quarter of its width."""
    bars = []
    for length in (80, 160):
        bar = np.zeros((40, 180), bool)
        bar[10 : 10 + width, 5 : 5 + length] = True
        bars.append(bar)
    short, long = widths(*bars) * COMPACT
    assert long == pytest.approx(1.5 * width, rel=0.15)
    assert long == pytest.approx(short, rel=0.12)
    assert long < 0.7 * disc_diameter(width * 160)


def test_overlapping_cells_and_those_at_the_frame_are_measured_each_by_itself() -> None:
    left, right = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    left[0:20, 0:20] = right[10:30, 10:30] = True
    alone = widths(left)[0]
    assert widths(left, right) == pytest.approx([alone, alone])


def test_a_pixel_is_a_cell_too_and_no_cell_has_no_size() -> None:
    single = np.zeros((9, 9), bool)
    single[4, 4] = True
    assert 0.9 < widths(single)[0] < 5
    empty = Instances.empty((5, 5))
    assert cell_widths(empty).shape == (0,)
    assert typical_size(empty, by_width=True) is None
    two = Instances.from_label_map(disc(20).astype(np.int32))
    assert typical_size(two, by_width=False) == pytest.approx(20, rel=0.05)
