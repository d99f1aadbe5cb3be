"""PNG, JPEG, BMP, GIF, WebP and PNM files as arrays, checked before anything large is allocated."""

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
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.registry import one_line
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.tile_cache import DecodedTileCache, WholePlane

# No other: Pillow knows formats that start programs (EPS) or are no pictures of cells.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".pnm", ".pbm")
STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
PNG_SIGNATURE = STARTS[0]
PNM = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
GRAY_MODES = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "YCbCr")
# Pixels that a byte may become at most, above a first million: deflate's 1,032 bytes of 8 pixels,
# JPEG's block of 64 pixels in 2 bits and less.
MOST_PIXELS_A_BYTE = {"PNG": 8300, "JPEG": 8192, "BMP": 20_000, "GIF": 5000, "PPM": 8}
FREE_PIXELS = 1 << 20
_opening = threading.Lock()


def begins(start: bytes) -> bool:
    """True where a file begins as one of these formats does."""
    is_pnm = start[:2] in PNM and start[2:3] in (b" ", b"\t", b"\n", b"\r", b"#")
    is_webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    is_bmp = start[:2] == b"BM" and start[14:18] in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x40\0\0\0",
                                                     b"\x38\0\0\0", b"\x34\0\0\0", b"\x6c\0\0\0",
                                                     b"\x7c\0\0\0")  # fmt: skip
    return start.startswith(STARTS) or is_pnm or is_webp or is_bmp


def open_picture(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """The one series of a picture; an animation has frames. Pixels are read when a plane is.

    A palette is looked up; alpha is dropped; 16 bits stay 16 bits.

    Raises:
        ImageError: no image, cut off, without pixels, more than the limit, or colours for printing.
    """
    with opened(path, pixel_limit) as image:
        frames = int(getattr(image, "n_frames", 1))
        kind, mode = _png_kind(path), image.mode
        shape = image.height, image.width
    channels = 1 if mode in GRAY_MODES or mode in ("LA", "La") else 3
    if frames > 1:  # of an animation, whose frames may differ in mode
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
    """[3, H, W] of one frame of an animation."""
    with opened(path, pixel_limit) as image:
        image.seek(frame)
        pixels = channels_of(image.convert("RGB"))
    if pixels.shape[1:] != shape:
        raise ImageError(f"{path} is damaged: its frames differ in size", file=path)
    return pixels


def read_values(path: Path, pixel_limit: int) -> NDArray[Any]:
    """The values [H, W] or [H, W, C] as stored: of a palette its indices, not its colours."""
    with opened(path, pixel_limit) as image:
        if _is_deep(_png_kind(path)):
            return np.moveaxis(_deep_png(path, (image.height, image.width)), 0, -1)
        image.load()
        return np.array(image)


def channels_of(image: Image.Image) -> NDArray[Any]:
    """The pixels [C, H, W] of a Pillow image: gray, or red, green and blue."""
    if image.mode in GRAY_MODES:
        return np.array(image)[None]
    if image.mode in ("LA", "La"):
        return np.array(image)[None, ..., 0]
    colour = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    return np.moveaxis(np.array(colour)[..., :3], -1, 0)


def _deep_png(path: Path, shape: tuple[int, int]) -> NDArray[Any]:
    """[C, H, W] of a PNG of 16 bits, which Pillow would bring down to 8; alpha is dropped."""
    import imagecodecs

    try:
        pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    except MemoryError:
        raise ImageError(f"{path} does not fit into memory", file=path) from None
    except Exception as error:  # the decoder's own errors have no common base
        raise ImageError(f"{path} is damaged or cut off ({one_line(error)})", file=path) from error
    if pixels.shape[:2] != shape or pixels.dtype != np.uint16:
        raise ImageError(
            f"{path} is damaged: its pixels are not those that its header claims", file=path
        )
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    samples = {1: 1, 2: 1, 3: 3, 4: 3}[pixels.shape[2]]
    return np.moveaxis(pixels[..., :samples], -1, 0)


def _is_deep(kind: tuple[int, int] | None) -> bool:
    """True for a PNG of 16 bits that has more than gray: colour, or gray with alpha."""
    return kind is not None and kind[0] == 16 and kind[1] != 0


def _png_kind(path: Path) -> tuple[int, int] | None:
    """(bits, colour type) of a PNG, None for another format."""
    with path.open("rb") as stream:
        head = stream.read(26)
    if not head.startswith(PNG_SIGNATURE) or len(head) < 26:
        return None
    return head[24], head[25]


@contextmanager
def opened(path: Path, pixel_limit: int) -> Iterator[Image.Image]:
    """A Pillow image of checked size, for the length of a block; what goes wrong is an ImageError.

    Raises:
        ImageError: as in `open_picture`.
    """
    try:
        _check_png(path)
        with _open(path) as image:
            size = image.height, image.width
            check_size(path, size, pixel_limit)
            most = MOST_PIXELS_A_BYTE.get(image.format or "")
            if most and size[0] * size[1] > FREE_PIXELS + most * path.stat().st_size:
                raise ImageError(
                    f"{path} is cut off: its bytes cannot hold the {size[1]} x {size[0]} pixels "
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
        raise ImageError(f"{path} is damaged or cut off ({one_line(error)})", file=path) from error
    except MemoryError:
        raise ImageError(f"{path} does not fit into memory", file=path) from None


def _check_mode(path: Path, image: Image.Image) -> None:
    """Refuse what Pillow would turn into other values.

    Raises:
        ImageError: colours for printing, or a PNM of more than 8 bits in colour.
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
    """The largest value that a PNM's header names."""
    with path.open("rb") as stream:
        lines = stream.read(2048).split(b"\n")
    words = b" ".join(line.partition(b"#")[0] for line in lines).split()
    return int(words[3]) if len(words) > 3 and words[3].isdigit() else 255


def _open(path: Path) -> Image.Image:
    """A Pillow image, pixels not read yet; `check_size` stands in for Pillow's own size limit."""
    with _opening:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(path, formats=FORMATS)
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
    raise ImageError(f"{path} is cut off: the file ends before the image does", file=path)


READER = ImageReader("a picture", SUFFIXES, open_picture, begins=begins)
