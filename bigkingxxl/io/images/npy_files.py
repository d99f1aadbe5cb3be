"""NumPy `.npy` files, read by window; nothing is unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.io.images.axes import channels_first
from bigkingxxl.io.images.file_image import check_size
from bigkingxxl.io.images.read_errors import one_line
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.stored_array import StoredArray

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
    plane = _NpyPlane(
        StoredArray(path, int(stored.offset), stored.dtype, stored.shape, stored.flags.fnc),
        (3 if is_colour else count, height, width), pixels.shape != stored.shape[-3:],
    )  # fmt: skip
    return [ImageSeries((height, width), lambda _frame, _depth: plane,
                        channels=plane.shape[0], is_colour=is_colour)]  # fmt: skip


@dataclass(frozen=True)
class _NpyPlane:
    """All channels of an array, without alpha.

    Attributes:
        array: The array, [H, W], [C, H, W] or [H, W, C].
        shape: (C, H, W).
        is_channels_last: Whether it is [H, W, C].
    """

    array: StoredArray
    shape: tuple[int, int, int]
    is_channels_last: bool

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w].

        Raises:
            ImageError: The file is missing or truncated.
        """
        spans = [(window.row0, window.row1), (window.col0, window.col1)]
        if len(self.array.shape) == 2:
            return self.array.read(spans)[None]
        if self.is_channels_last:
            pixels = self.array.read([*spans, (0, self.array.shape[2])])
            return np.moveaxis(pixels, 2, 0)[: self.shape[0]]
        return self.array.read([(0, self.shape[0]), *spans])


READER = ImageReader(
    "NumPy", (".npy",), open_npy, begins=lambda start: start.startswith(START), by_window=True
)
