"""JPEG 2000 files of any bit depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images.file_image import ArraySamples, Samples, check_size
from bigkingxxl.io.images.read_errors import damage_reported
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.tiff_checks import jpeg_2000_size

STARTS = (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
HEADER_BYTES = 1 << 16
# Images of cells compress less: a block of 64 x 64 pixels takes more than a byte.
MOST_PIXELS_A_BYTE, FREE_PIXELS = 1 << 14, 1 << 20


def open_jpeg_2000(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """Return the image of a file, which is decoded on demand.

    Raises:
        ImageError: The file is damaged, above the limit, or claims more pixels than its bytes can
            hold.
    """
    with path.open("rb") as stream:
        size = jpeg_2000_size(stream.read(HEADER_BYTES))
    if size is None:
        raise ImageError(f"{path} is damaged: a JPEG 2000 without a size", file=path)
    check_size(path, size, pixel_limit)
    if size[0] * size[1] > FREE_PIXELS + MOST_PIXELS_A_BYTE * path.stat().st_size:
        raise ImageError(
            f"{path} is truncated: it claims {size[1]} x {size[0]} pixels",
            file=path,
            key="pixels",
            found=tuple(size),
        )
    pixels = _decoded(path)
    count = len(pixels)
    is_colour = count in (3, 4)
    kept = pixels[:3] if is_colour else pixels[:1] if count == 2 else pixels

    def plane(_frame: int, _depth: int) -> Samples:
        return ArraySamples(kept)

    return [ImageSeries(pixels.shape[1:], plane, channels=len(kept), is_colour=is_colour)]


def _decoded(path: Path) -> NDArray[Any]:
    """Decode the image, [C, H, W]."""
    import imagecodecs

    with damage_reported(path):
        pixels = np.asarray(imagecodecs.jpeg2k_decode(path.read_bytes()))
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


READER = ImageReader(
    "JPEG 2000", (".jp2", ".j2k", ".jpx", ".j2c"), open_jpeg_2000,
    begins=lambda start: start.startswith(STARTS),
)  # fmt: skip
