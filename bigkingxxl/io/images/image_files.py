"""Open images on disk as `ImageSource`s, in any registered format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.images import ImageSource
from bigkingxxl.io.images.file_image import PixelSize
from bigkingxxl.io.images.folders import stem_of
from bigkingxxl.io.images.registry import first_bytes, series_of
from bigkingxxl.io.images.series import (
    ImageSeries,
    Index,
    PlaneChoice,
    check_single,
    images_of,
)

DEFAULT_PIXEL_LIMIT = 1_000_000_000


class ImageHeader(NamedTuple):
    """The header of the first image of a file, without reading pixels.

    Attributes:
        shape: (H, W).
        pixel_size_um: Micrometres per pixel (row, column), or None if the file does not give it.
    """

    shape: tuple[int, int]
    pixel_size_um: PixelSize | None


def open_images(
    path: Path,
    *,
    channel: int | None = None,
    frames: Index | None = None,
    z: Index | None = None,
    position: int | None = None,
    pixel_limit: int | None = DEFAULT_PIXEL_LIMIT,
    name: str | None = None,
) -> Sequence[ImageSource]:
    """Open the images of a file: one per selected position, frame and depth.

    Colour becomes luminance unless a channel is selected; alpha is dropped; other channels are
    kept. Formats that allow it are read by window. The images of a series have names such as
    NAME_t003, with _p01 for positions and _z02 for depths.

    Args:
        path: The file.
        channel: The channel, counted from 0.
        frames: None for all, a number, or a half-open range such as '0:10'.
        z: The planes of a z-stack: 'max' (the maximum projection), 'mid', 'all', a number or a
            range.
        position: A number; by default all positions.
        pixel_limit: Images with more pixels are refused; None refuses only those that would have to
            be decoded as a whole.
        name: The name of the file in results; by default its name without ending.

    Raises:
        ImageError: The file is missing, empty, truncated, not an image, has no pixels or too many,
            or does not have the channel or plane; or it is a z-stack and `z` is None.
        InputError: `frames` or `z` is invalid.
    """
    path = Path(path)
    choice = PlaneChoice(channel, frames, z, position)
    choice.check()
    series = series_of(path, pixel_limit)
    return images_of(path, series, choice, stem_of(path) if name is None else name)


def open_image(
    path: Path,
    *,
    channel: int | None = None,
    frames: Index | None = None,
    z: Index | None = None,
    position: int | None = None,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
) -> ImageSource:
    """Open the only image of a file; see `open_images`.

    Raises:
        ImageError: See `open_images`; or the selection contains several images.
    """
    path = Path(path)
    images = open_images(path, channel=channel, frames=frames, z=z, position=position,
                         pixel_limit=pixel_limit)  # fmt: skip
    check_single(path, len(images))
    return images[0]


def read_header(path: Path, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> ImageHeader:
    """Read size and pixel size of a file's first image, without decoding pixels if possible.

    Raises:
        ImageError: See `open_image`, as far as the header shows it.
    """
    first = series_of(Path(path), pixel_limit)[0]
    return ImageHeader(first.shape, first.pixel_size_um)


def read_values(path: Path, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> NDArray[Any]:
    """Read the values [H, W] or [H, W, C] of a label image; of a palette image, its indices.

    Raises:
        ImageError: See `open_image`.
    """
    from bigkingxxl.io.images import pillow_files, tiff_files

    path = Path(path)
    start = first_bytes(path) if not path.is_dir() else b""
    if tiff_files.is_tiff(start):
        return _values(tiff_files.read_stored(path, pixel_limit))
    if pillow_files.begins(start):
        return pillow_files.read_values(path, pixel_limit)
    series = series_of(path, pixel_limit)
    check_single(path, sum(each.frames * each.depth for each in series))
    return _values(_pixels(series[0]))


def _pixels(series: ImageSeries) -> NDArray[Any]:
    from bigkingxxl.geometry import whole

    return series.plane(0, 0).read(whole(series.shape))


def _values(channels: NDArray[Any]) -> NDArray[Any]:
    return channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
