"""Binary masks among label images: cell or no cell, without a number for each cell.

A program that saves masks as pictures writes 0 and 255, and read as labels that is one cell which
covers all others. Here such a mask is told from a label image, and its cells are taken apart: each
connected part is a cell, pixels that touch at a corner belonging together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINARY_WHITES = (255, 65_535)
CORNERS_TOO = np.ones((3, 3), bool)


def is_binary_mask(values: NDArray[Any]) -> bool:
    """True where an image [H, W] of whole numbers only says where cells are.

    It has one value besides 0: white (255 or 65,535), any value of a 1-bit image, or 1 in an 8-bit
    image of several parts. (1 in an image of 16 bits or more is the label of a single cell.)
    """
    if values.dtype == bool:
        return True
    high = values.max(initial=0)
    if high <= 0 or ((values != 0) & (values != high)).any():
        return False
    if high in BINARY_WHITES:
        return True
    return high == 1 and values.dtype.itemsize == 1 and part_count(values) > 1


def part_count(values: NDArray[Any]) -> int:
    """How many connected parts the pixels other than 0 have."""
    from scipy import ndimage

    return int(ndimage.label(values != 0, CORNERS_TOO)[1])


def connected_cells(values: NDArray[Any]) -> NDArray[np.int32]:
    """int32[H, W]: the label map of a binary mask [H, W], parts numbered in reading order."""
    from scipy import ndimage

    labels: NDArray[np.int32] = ndimage.label(values != 0, CORNERS_TOO)[0].astype(np.int32)
    return labels
