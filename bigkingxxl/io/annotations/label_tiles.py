"""Label images of any size as tiled, compressed BigTIFF, written tile by tile."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.files import whole_file
from bigkingxxl.instances import PixelSize

LARGEST_UINT16 = 65_535
CENTIMETRE_UM = 1e4
LEVEL = 4  # of deflate; higher levels take twice the time for a twentieth of the bytes


def label_type(cells: int) -> np.dtype[Any]:
    """Return the dtype for a number of cells: 16 bits if they suffice, which Fiji prefers."""
    return np.dtype(np.uint32 if cells > LARGEST_UINT16 else np.uint16)


def encoded_tile(labels: NDArray[Any], side: int, dtype: np.dtype[Any]) -> bytes:
    """Encode a tile of side x side pixels; where labels [h, w] are smaller, it is background."""
    tile = np.zeros((side, side), dtype.newbyteorder("<"))
    tile[: labels.shape[0], : labels.shape[1]] = labels
    return zlib.compress(tile.tobytes(), LEVEL)


def write_label_tiles(
    path: Path,
    tiles: Iterable[bytes],
    shape: tuple[int, int],
    side: int,
    dtype: np.dtype[Any],
    pixel_size: PixelSize | None = None,
) -> None:
    """Write a BigTIFF from its compressed tiles, row by row, with one tile in memory.

    Args:
        path: The file.
        tiles: The results of `encoded_tile`.
        shape: (H, W).
        side: The side of a tile, a multiple of 16.
        dtype: The dtype of the labels.
        pixel_size: Micrometres per pixel (row, column), if known.

    Raises:
        OutputError: The file cannot be written.
    """
    import tifffile

    with whole_file(path) as temporary, short_writes_reported():
        tifffile.imwrite(
            temporary, iter(tiles), shape=shape, dtype=dtype, tile=(side, side),
            compression="adobe_deflate", photometric="minisblack", bigtiff=True,
            byteorder="<", metadata=None, software=False, **resolution(pixel_size),
        )  # fmt: skip


@contextmanager
def short_writes_reported() -> Iterator[None]:
    """Within the block, turn numpy's error of a short write, without a number, into a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def resolution(pixel_size: PixelSize | None) -> dict[str, Any]:
    """Return the options of `tifffile.imwrite` for a pixel size in micrometres (row, column)."""
    if pixel_size is None:
        return {}
    row, col = pixel_size
    return {
        "resolution": (CENTIMETRE_UM / col, CENTIMETRE_UM / row),
        "resolutionunit": "CENTIMETER",
    }
