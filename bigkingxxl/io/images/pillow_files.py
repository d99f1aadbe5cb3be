"""PNG, JPEG and BMP files as arrays, checked before anything large is allocated."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images.file_image import check_size

# No other: Pillow knows formats that start programs (EPS) or are no pictures of cells.
FORMATS = ("PNG", "JPEG", "BMP")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY_MODES = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_opening = threading.Lock()


def read_pixels(path: Path, pixel_limit: int) -> tuple[NDArray[Any], bool]:
    """The pixels [C, H, W] of an image as stored, and whether the channels are red, green, blue.

    A palette is looked up; alpha is dropped; 16-bit gray stays 16-bit.

    Raises:
        ImageError: no image, cut off, without pixels, or more than the limit.
    """
    with opened(path, pixel_limit) as image:
        image.load()
        return channels_of(image)


def read_size(path: Path, pixel_limit: int) -> tuple[int, int]:
    """(H, W) of an image, by its header alone; raises as `read_pixels` does."""
    with opened(path, pixel_limit) as image:
        return image.height, image.width


def read_values(path: Path, pixel_limit: int) -> NDArray[Any]:
    """The values [H, W] or [H, W, C] as stored: of a palette its indices, not its colours."""
    with opened(path, pixel_limit) as image:
        image.load()
        return np.array(image)


def channels_of(image: Image.Image) -> tuple[NDArray[Any], bool]:
    """The pixels [C, H, W] of a Pillow image, and whether they are red, green, blue."""
    if image.mode in GRAY_MODES:
        return np.array(image)[None], False
    if image.mode in ("LA", "La"):
        return np.array(image)[None, ..., 0], False
    colour = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    return np.moveaxis(np.array(colour)[..., :3], -1, 0), True


@contextmanager
def opened(
    path: Path, pixel_limit: int, formats: tuple[str, ...] = FORMATS
) -> Iterator[Image.Image]:
    """A Pillow image of checked size, for the length of a block; what goes wrong is an ImageError.

    Raises:
        ImageError: as in `read_pixels`.
    """
    try:
        _check_png(path)
        with _open(path, formats) as image:
            check_size(path, (image.height, image.width), pixel_limit)
            yield image
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that can be read") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise ImageError(f"{path} is damaged or cut off ({error})") from error
    except MemoryError:
        raise ImageError(f"{path} does not fit into memory") from None


def _open(path: Path, formats: tuple[str, ...]) -> Image.Image:
    """A Pillow image, pixels not read yet; `check_size` stands in for Pillow's own size limit."""
    with _opening:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(path, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_png(path: Path) -> None:
    """Refuse a PNG that breaks off or is 0 wide, by its chunks alone: Pillow allocates first."""
    total = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(8) != PNG_SIGNATURE:
            return
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IEND":
                return
            if stream.tell() + length + 4 > total:
                break
            if kind == b"IHDR" and length >= 8:
                width, height = struct.unpack(">II", stream.read(8))
                length -= 8
                check_size(path, (height, width), max(height * width, 1))
            stream.seek(length + 4, 1)
    raise ImageError(f"{path} is cut off: the file ends before the image does")
