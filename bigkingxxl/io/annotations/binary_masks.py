"""Recognise binary masks among label images.

Programs that save masks as pictures write 0 and 255, which as labels would be one cell that covers
all others. Such a mask is distinguished from a label image here, and each of its 8-connected parts
becomes a cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINARY_WHITES = (255, 65_535)
CORNERS_TOO = np.ones((3, 3), bool)
ALIKE = 4  # largest ratio of the two largest parts for which they count as different cells


def is_white_mask(values: NDArray[Any]) -> bool:
    """Return whether an image [H, W] contains only 0 and white (255, 65,535 or True)."""
    if values.dtype == bool:
        return True
    high = values.max(initial=0).item()
    return high in BINARY_WHITES and bool(((values == 0) | (values == high)).all())


def is_binary_mask(values: NDArray[Any]) -> bool:
    """Return whether an integer image [H, W] only distinguishes cells from background.

    It has one value besides 0: white (255 or 65,535), any value of a 1-bit image, or any value with
    several parts of similar size. A single part, or a large part with small fragments, is the only
    cell of its image.
    """
    if is_white_mask(values):
        return True
    high = values.max(initial=0).item()
    is_single = high > 0 and bool(((values == 0) | (values == high)).all())
    return is_single and _has_like_parts(values)


def _has_like_parts(values: NDArray[Any]) -> bool:
    """Return whether the second largest connected part is not much smaller than the largest."""
    areas = np.sort(np.bincount(connected_cells(values).ravel())[1:])
    return len(areas) > 1 and bool(areas[-2] * ALIKE >= areas[-1])


def connected_cells(values: NDArray[Any]) -> NDArray[np.int32]:
    """Label the parts of a binary mask [H, W] in reading order, int32[H, W]."""
    from scipy import ndimage

    labels: NDArray[np.int32] = ndimage.label(values != 0, CORNERS_TOO)[0].astype(np.int32)
    return labels
