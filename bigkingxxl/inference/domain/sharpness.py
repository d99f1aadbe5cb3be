"""Recognise images that are out of focus, in which cells blur into smooth shapes.

A network that looks at such an image takes the smooth shapes for very large cells. True cells, of
whatever size, have borders that are narrow beside them. How narrow is measured at one scale for all
cells, at which the noise of a camera has mostly been averaged out where cells are large.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.geometry import disc_diameter
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances

OUT_OF_FOCUS = "the image is out of focus"  # how the warning of such an image begins
DIAMETER = 16.0  # pixels to which the median cell is shrunk
SMALLEST = 2 * DIAMETER  # smaller cells show too few pixels of a border to judge it
# Chosen on ten data sets and tested on fourteen others: docs/measured.md, "Out of focus", and
# benchmarks/accuracy/empty_images.py.
LEAST_SHARP = 0.19
LARGEST_IMAGE = 2**24  # pixels; larger images are seen block by block, and not judged
MARGIN = 2  # shrunk pixels around a cell that belong to its border


def is_out_of_focus(source: ImageSource, cells: Instances) -> bool:
    """Return whether the cells found in an image are smooth shapes without an outline.

    Args:
        source: The image, [H, W] pixels.
        cells: The cells that were found in it.

    Returns:
        False if it cannot be decided: without cells, for cells with a median diameter below 32
        pixels, and for images of more than 2**24 pixels.
    """
    if len(cells) == 0 or source.shape[0] * source.shape[1] > LARGEST_IMAGE:
        return False
    diameter = float(np.median(disc_diameter(cells.areas())))
    if diameter < SMALLEST:
        return False
    pixels = np.nan_to_num(source.read().mean(axis=0))
    return sharpness(pixels, cells.label_map(), DIAMETER / diameter) < LEAST_SHARP


def sharpness(pixels: NDArray[np.float32], labels: NDArray[np.int32], scale: float) -> float:
    """Compare the finest detail of the median cell with its coarser detail.

    The image is shrunk first. Detail is the difference between the image and smoother copies of it
    (differences of Gaussians); the finest is that of up to one pixel.

    Args:
        pixels: float32[H, W], the image.
        labels: int32[H, W], its cells; 0 is background.
        scale: Pixels of the shrunk image per pixel of the image.

    Returns:
        The median over the cells of the ratio of the root mean squares; infinity without cells.
    """
    from scipy import ndimage

    height, width = (max(round(length * scale), 1) for length in pixels.shape)
    shrunk, owner = _shrunk(pixels, labels, (height, width))
    present = np.unique(owner[owner > 0])
    if len(present) == 0:
        return np.inf
    smooth = [shrunk, *(ndimage.gaussian_filter(shrunk, sigma) for sigma in (1, 2, 4, 8))]
    fine, *others = [
        np.asarray(ndimage.mean((one - two) ** 2, owner, present)) for one, two in pairwise(smooth)
    ]
    return float(np.median(np.sqrt(fine / np.maximum(np.sum(others, axis=0), 1e-12))))


def _shrunk(
    pixels: NDArray[np.float32], labels: NDArray[np.int32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the image float32[h, w] and its cells int32[h, w], dilated, at a smaller size."""
    from PIL import Image
    from scipy import ndimage

    shown = Image.fromarray(pixels.astype(np.float32))
    small = np.asarray(shown.resize(size[::-1], Image.Resampling.BOX), np.float32)
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, labels.shape, strict=True)
    )
    owner = labels[rows][:, cols]
    away, (row, col) = ndimage.distance_transform_edt(owner == 0, return_indices=True)
    return small, np.where(away <= MARGIN, owner[row, col], 0)
