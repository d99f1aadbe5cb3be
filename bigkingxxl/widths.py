"""How wide cells are: it decides how closely thin and branched ones must be looked at."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.geometry import disc_diameter
from bigkingxxl.instances import Instances

# Real cells of compact shapes are as wide, by their mean distance to the border, as this share of
# the diameter of a disc of their area (median over 20 data sets of the field: 0.82 to 0.95).
COMPACT = 0.87


def cell_widths(cells: Instances) -> NDArray[np.float32]:
    """float32[N], the width of each cell in pixels: about the diameter of one of compact shape.

    It is six times the mean distance of a cell's pixels to its border, which for a disc is the
    diameter, in units of what compact cells have. A cell with long arms has less of it than its
    area suggests, and shows its arms only where it is enlarged accordingly.
    """
    from scipy import ndimage

    widths = np.zeros(len(cells), np.float32)
    owner, flat = cells.pixels()
    rows, cols = np.divmod(flat, cells.size[1])
    ends = np.searchsorted(owner, np.arange(len(cells) + 1))
    for index, (start, stop) in enumerate(pairwise(ends)):
        if start < stop:
            row, col = rows[start:stop] - rows[start] + 1, cols[start:stop]
            col = col - col.min() + 1
            mask = np.zeros((row[-1] + 2, col.max() + 2), bool)
            mask[row, col] = True
            distance = float(ndimage.distance_transform_edt(mask)[row, col].mean())
            # Distances are to the centres of pixels beyond the border, half a pixel too much.
            widths[index] = max(6 * distance - 2, 1.0) / COMPACT
    return widths


def typical_size(cells: Instances, *, by_width: bool) -> float | None:
    """The median diameter of cells in pixels, or the median width; None where there are none."""
    if len(cells) == 0:
        return None
    return float(np.median(cell_widths(cells) if by_width else disc_diameter(cells.areas())))
