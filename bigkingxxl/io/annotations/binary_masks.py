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
ALIKE = 4  # a cell broken into pieces has one that is larger than the next by more


def is_white_mask(values: NDArray[Any]) -> bool:
    """True where an image [H, W] holds nothing but 0 and white (255, 65,535 or True)."""
    if values.dtype == bool:
        return True
    high = values.max(initial=0).item()
    return high in BINARY_WHITES and bool(((values == 0) | (values == high)).all())


def is_binary_mask(values: NDArray[Any]) -> bool:
    """True where an image [H, W] of whole numbers only says where cells are.

    It has one value besides 0: white (255 or 65,535), any value of a 1-bit image, or any value of
    which there are several parts of like size. One part, or one large part with crumbs beside it,
    is the only cell of its image.
    """
    if is_white_mask(values):
        return True
    high = values.max(initial=0).item()
    is_single = high > 0 and bool(((values == 0) | (values == high)).all())
    return is_single and _has_like_parts(values)


def _has_like_parts(values: NDArray[Any]) -> bool:
    """True where the second largest connected part is not far smaller than the largest."""
    areas = np.sort(np.bincount(connected_cells(values).ravel())[1:])
    return len(areas) > 1 and bool(areas[-2] * ALIKE >= areas[-1])


def connected_cells(values: NDArray[Any]) -> NDArray[np.int32]:
    """int32[H, W]: the label map of a binary mask [H, W], parts numbered in reading order."""
    from scipy import ndimage

    labels: NDArray[np.int32] = ndimage.label(values != 0, CORNERS_TOO)[0].astype(np.int32)
    return labels
