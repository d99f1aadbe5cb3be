"""Interpret arrays of two or three axes as channels, rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.images import ArrayImage, ImageSource
from bigkingxxl.io.images.file_image import LUMINANCE

FEW, SEVERAL = 4, 32  # colour channels; channels of a fluorescence panel


def channels_first(pixels: NDArray[Any], what: str = "the array") -> tuple[NDArray[Any], bool]:
    """Return the pixels as [C, H, W], a view, and whether the channels are RGB(A).

    An axis is that of the channels if it has up to 4 entries and the others have more, or if it has
    up to 32 entries and less than half of either other axis. Channels on the last axis are colours
    if there are 3 or 4.

    Args:
        pixels: [H, W], [C, H, W] or [H, W, C].
        what: The name of the array in messages.

    Raises:
        ImageError: The number of axes is wrong, or none or two axes may be channels.
    """
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ImageError(
            f"{what} has the shape {pixels.shape}, expected an image as [H, W], [C, H, W] or "
            "[H, W, C]",
            key="shape",
            found=pixels.shape,
        )
    if pixels.ndim == 2:
        return pixels[None], False
    first, last = _may_be_channels(pixels.shape, 0), _may_be_channels(pixels.shape, 2)
    if first == last:
        rows, cols, depth = pixels.shape
        readings = (
            f"{rows} channels of {cols} x {depth} ([C, H, W]) or {depth} channels of "
            f"{rows} x {cols} ([H, W, C])"
        )
        raise ImageError(
            f"{what} has the shape {pixels.shape}, which may be {readings}: pass one plane [H, W] "
            "at a time",
            key="shape",
            found=pixels.shape,
            expected=readings,
        )
    if first:
        return pixels, False
    return np.moveaxis(pixels, 2, 0), pixels.shape[2] in (3, 4)


def _may_be_channels(shape: tuple[int, ...], axis: int) -> bool:
    count = shape[axis]
    others = [side for index, side in enumerate(shape) if index != axis]
    return (count <= FEW < min(others)) or (count <= SEVERAL and 2 * count < min(others))


def array_source(
    pixels: NDArray[Any], name: str = "image", pixel_size_um: tuple[float, float] | None = None
) -> ImageSource:
    """Convert an array to an image: colour becomes luminance, and alpha is dropped.

    Args:
        pixels: [H, W], [C, H, W] or [H, W, C] of any real dtype.
        name: The name of the image.
        pixel_size_um: Micrometres per pixel (row, column), if known.

    Raises:
        ImageError: See `channels_first`; or the values are not real numbers.
    """
    if pixels.dtype.kind not in "buif":
        raise ImageError(
            f"an image must contain real numbers, not values of type {pixels.dtype}",
            key="dtype",
            found=pixels.dtype,
        )
    planes, is_colour = channels_first(pixels)
    if is_colour:
        red, green, blue = (plane.astype(np.float32) for plane in planes[:3])
        planes = (red * LUMINANCE[0] + green * LUMINANCE[1] + blue * LUMINANCE[2])[None]
    return ArrayImage(planes, name, pixel_size_um)
