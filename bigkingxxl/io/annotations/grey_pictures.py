"""Pictures that were named where label images are expected.

In a label image nearly every pixel of a cell has a neighbour of its own number. The grey values of
a picture go up and down from pixel to pixel; read as labels they are hundreds of cells of dust, and
every score is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 512  # pixels; the middle of an image is enough to tell
ENOUGH = 1024  # pixels other than 0
# Of 25 annotated sets, label images had at most 0.0002 of such pixels, images at least 0.10.
MOST_ALONE = 0.05


def is_photograph(values: NDArray[Any]) -> bool:
    """True where the numbers of an image [H, W] are grey values rather than labels.

    Counted are the pixels other than 0 that touch such pixels, but none of their own number.
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
