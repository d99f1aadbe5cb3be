"""NumPy `.npy` files, memory-mapped; nothing is unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images.axes import channels_first
from bigkingxxl.io.images.file_image import ArraySamples, check_size
from bigkingxxl.io.images.read_errors import one_line
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries

START = b"\x93NUMPY"


def open_npy(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """Return the image of an array of two or three axes; see `channels_first`.

    Raises:
        ImageError: The file is not an array of real numbers, truncated, above the limit, or its
            axes are ambiguous.
    """
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError) as error:
        raise ImageError(
            f"{path} is not an array of numbers, or truncated ({one_line(error)})", file=path
        ) from None
    if stored.dtype.kind not in "buif":
        raise ImageError(
            f"{path} contains values of type {stored.dtype}, expected real numbers",
            file=path,
            key="dtype",
            found=stored.dtype,
        )
    if stored.ndim == 2:
        check_size(path, (stored.shape[0], stored.shape[1]), pixel_limit)
    pixels, is_colour = channels_first(stored, str(path))
    count, height, width = pixels.shape
    check_size(path, (height, width), pixel_limit)
    kept = ArraySamples(pixels[:3] if is_colour else pixels)
    return [ImageSeries((height, width), lambda _frame, _depth: kept,
                        channels=3 if is_colour else count, is_colour=is_colour)]  # fmt: skip


READER = ImageReader(
    "NumPy", (".npy",), open_npy, begins=lambda start: start.startswith(START), by_window=True
)
