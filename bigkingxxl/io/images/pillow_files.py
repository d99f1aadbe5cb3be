"""PNG, JPEG, BMP, GIF, WebP and PNM files, checked before memory is allocated."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images.file_image import ArraySamples, Samples, check_size
from bigkingxxl.io.images.read_errors import damage_reported, one_line
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.tile_cache import DecodedTileCache, WholePlane

# No other formats: Pillow's include some that start programs (EPS) or never contain cells.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".pnm", ".pbm")
STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
PNG_SIGNATURE = STARTS[0]
PNM = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
GRAY_MODES = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "YCbCr")
# The largest number of pixels per byte, beyond the first million: for deflate 1,032 bytes of 8
# pixels, for JPEG a block of 64 pixels in 2 bits and less.
MOST_PIXELS_A_BYTE = {"PNG": 8300, "JPEG": 8192, "BMP": 20_000, "GIF": 5000, "PPM": 8}
FREE_PIXELS = 1 << 20
_opening = threading.Lock()


def begins(start: bytes) -> bool:
    """Return whether a file begins like one of these formats."""
    is_pnm = start[:2] in PNM and start[2:3] in (b" ", b"\t", b"\n", b"\r", b"#")
    is_webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    is_bmp = start[:2] == b"BM" and start[14:18] in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x40\0\0\0",
                                                     b"\x38\0\0\0", b"\x34\0\0\0", b"\x6c\0\0\0",
                                                     b"\x7c\0\0\0")  # fmt: skip
    return start.startswith(STARTS) or is_pnm or is_webp or is_bmp


def open_picture(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """Return the series of a picture; an animation has frames. Pixels are read on demand.

    Palettes are resolved, alpha is dropped, and 16 bits are preserved.

    Raises:
        ImageError: The file is not an image, truncated, without pixels, above the limit, or has
            colours for printing.
    """
    with opened(path, pixel_limit) as image:
        frames = int(getattr(image, "n_frames", 1))
        kind, mode = _png_kind(path), image.mode
        shape = image.height, image.width
    channels = 1 if mode in GRAY_MODES or mode in ("LA", "La") else 3
    if frames > 1:  # an animation, whose frames may differ in mode
        cache = DecodedTileCache()

        def later(frame: int, _depth: int) -> Samples:
            load = partial(_frame, path, pixel_limit, shape, frame)
            return WholePlane((3, *shape), frame, load, cache)

        return [ImageSeries(shape, later, channels=3, frames=frames, is_colour=True)]

    def only(_frame: int, _depth: int) -> Samples:
        if _is_deep(kind):
            return ArraySamples(_deep_png(path, shape))
        with opened(path, pixel_limit) as image:
            image.load()
            return ArraySamples(channels_of(image))

    return [ImageSeries(shape, only, channels=channels, is_colour=channels == 3)]


def _frame(path: Path, pixel_limit: int, shape: tuple[int, int], frame: int) -> NDArray[Any]:
    """Decode one frame of an animation, [3, H, W]."""
    with opened(path, pixel_limit) as image:
        image.seek(frame)
        pixels = channels_of(image.convert("RGB"))
    if pixels.shape[1:] != shape:
        raise ImageError(f"{path} is damaged: its frames differ in size", file=path)
    return pixels


def read_values(path: Path, pixel_limit: int) -> NDArray[Any]:
    """Read the stored values [H, W] or [H, W, C]; of a palette image, its indices."""
    with opened(path, pixel_limit) as image:
        if _is_deep(_png_kind(path)):
            return np.moveaxis(_deep_png(path, (image.height, image.width)), 0, -1)
        image.load()
        return np.array(image)


def channels_of(image: Image.Image) -> NDArray[Any]:
    """Return the pixels [C, H, W] of a Pillow image: grey or RGB."""
    if image.mode in GRAY_MODES:
        return np.array(image)[None]
    if image.mode in ("LA", "La"):
        return np.array(image)[None, ..., 0]
    colour = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    return np.moveaxis(np.array(colour)[..., :3], -1, 0)


def _deep_png(path: Path, shape: tuple[int, int]) -> NDArray[Any]:
    """Decode a 16-bit PNG, which Pillow would reduce to 8 bits, without alpha: [C, H, W]."""
    import imagecodecs

    with damage_reported(path):
        pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    if pixels.shape[:2] != shape or pixels.dtype != np.uint16:
        raise ImageError(
            f"{path} is damaged: its pixels are not those that its header claims", file=path
        )
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    samples = {1: 1, 2: 1, 3: 3, 4: 3}[pixels.shape[2]]
    return np.moveaxis(pixels[..., :samples], -1, 0)


def _is_deep(kind: tuple[int, int] | None) -> bool:
    """Return whether a PNG has 16 bits and more than grey: colour, or grey with alpha."""
    return kind is not None and kind[0] == 16 and kind[1] != 0


def _png_kind(path: Path) -> tuple[int, int] | None:
    """Return (bits, colour type) of a PNG; None for another format."""
    with path.open("rb") as stream:
        head = stream.read(26)
    if not head.startswith(PNG_SIGNATURE) or len(head) < 26:
        return None
    return head[24], head[25]


@contextmanager
def opened(path: Path, pixel_limit: int) -> Iterator[Image.Image]:
    """Open a Pillow image of checked size within a block; errors become an ImageError.

    Raises:
        ImageError: See `open_picture`.
    """
    try:
        _check_png(path)
        with _open(path) as image:
            size = image.height, image.width
            check_size(path, size, pixel_limit)
            most = MOST_PIXELS_A_BYTE.get(image.format or "")
            if most and size[0] * size[1] > FREE_PIXELS + most * path.stat().st_size:
                raise ImageError(
                    f"{path} is truncated: its bytes cannot hold the {size[1]} x {size[0]} pixels "
                    "that it claims",
                    file=path,
                    key="pixels",
                    found=tuple(size),
                )
            _check_mode(path, image)
            yield image
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that can be read", file=path) from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError,
            TypeError, KeyError, OverflowError) as error:  # fmt: skip
        raise ImageError(
            f"{path} is damaged or truncated ({one_line(error)})", file=path
        ) from error
    except MemoryError:
        raise ImageError(f"{path} does not fit into memory", file=path) from None


def _check_mode(path: Path, image: Image.Image) -> None:
    """Refuse images whose values Pillow would change.

    Raises:
        ImageError: The image has colours for printing, or is a colour PNM with more than 8 bits.
    """
    if image.mode not in (*GRAY_MODES, *COLOUR_MODES, "LA", "La"):
        raise ImageError(
            f"{path} stores its colours as {image.mode}, which is not read: save it as gray or RGB",
            file=path,
            key="colours",
            found=image.mode,
            expected=("gray", "RGB"),
        )
    if image.format == "PPM" and image.mode == "RGB" and _pnm_maximum(path) > 255:
        raise ImageError(
            f"{path} is a PNM of 16 bits in colour: save it as PNG or TIFF",
            file=path,
            key="format",
            found="PNM",
            expected=("PNG", "TIFF"),
        )


def _pnm_maximum(path: Path) -> int:
    """Return the maximum value in the header of a PNM file."""
    with path.open("rb") as stream:
        lines = stream.read(2048).split(b"\n")
    words = b" ".join(line.partition(b"#")[0] for line in lines).split()
    return int(words[3]) if len(words) > 3 and words[3].isdigit() else 255


def _open(path: Path) -> Image.Image:
    """Open a Pillow image without reading pixels; `check_size` replaces Pillow's size limit."""
    with _opening:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(path, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_png(path: Path) -> None:
    """Refuse a PNG that is truncated or 0 wide, by its chunks, because Pillow allocates first."""
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
    raise ImageError(f"{path} is truncated: the file ends before the image does", file=path)


READER = ImageReader("a picture", SUFFIXES, open_picture, begins=begins)
