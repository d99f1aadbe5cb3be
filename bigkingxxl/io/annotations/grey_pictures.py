"""Recognise pictures where label images are expected.

In a label image, nearly every pixel of a cell has a neighbour with the same number. The grey values
of a picture vary from pixel to pixel; as labels they would be hundreds of tiny cells, and every
score would be 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 512  # pixels; the centre of an image is sufficient
ENOUGH = 1024  # nonzero pixels
# In 25 annotated data sets, the fraction of such pixels was at most 0.0002 in label images and at
# least 0.10 in images.
MOST_ALONE = 0.05


def is_photograph(values: NDArray[Any]) -> bool:
    """Return whether the values of an image [H, W] are grey values rather than labels.

    Nonzero pixels are counted that have nonzero neighbours, but none with the same value.
    """
    row, col = (max(0, (side - WINDOW) // 2) for side in values.shape)
    middle = values[row : row + WINDOW, col : col + WINDOW]
    in_cell = middle != 0
    cells = int(in_cell.sum())
    if cells < ENOUGH:
        return False
    has_same, has_other = np.zeros_like(in_cell), np.zeros_like(in_cell)
    for one, next_one in (
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        same = middle[one] == middle[next_one]
        has_same[one] |= same
        has_same[next_one] |= same
        has_other[one] |= in_cell[next_one]
        has_other[next_one] |= in_cell[one]
    alone = in_cell & has_other & ~has_same
    return int(alone.sum()) > MOST_ALONE * cells
