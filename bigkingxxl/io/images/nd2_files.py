"""Nikon ND2 files, read by nd2 (BSD)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.io.images.file_image import Samples, check_size
from bigkingxxl.io.images.read_errors import damage_reported
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.tiff_pixel_size import pixel_size
from bigkingxxl.io.images.tile_cache import DecodedTileCache, WholePlane

# The second is that of files before 2010, which begin like JPEG 2000.
STARTS = (b"\xda\xce\xbe\x0a", b"\0\0\0\x0cjP  \r\n\x87\n")
POSITION, DEPTH = "P", "Z"


def open_nd2(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """Return a series for each stage position; planes are read on demand.

    Raises:
        ImageError: The file is damaged or above the limit.
    """
    import nd2

    with nd2.ND2File(path) as file:
        sizes = {str(axis): int(count) for axis, count in file.sizes.items()}
        loops = [dict(loop) for loop in file.loop_indices] or [{}]
        is_colour = bool(file.is_rgb)
        voxel = file.voxel_size()
    shape = sizes["Y"], sizes["X"]
    check_size(path, shape, pixel_limit)
    channels = sizes.get("C", 1) * sizes.get("S", 1)
    size = pixel_size(float(voxel.y), float(voxel.x))
    cache = DecodedTileCache()
    result = []
    for position in range(sizes.get(POSITION, 1)):
        numbers = [i for i, loop in enumerate(loops) if loop.get(POSITION, 0) == position]
        depth = sizes.get(DEPTH, 1)
        table = _by_depth(loops, numbers, depth)
        plane = partial(_plane, path, table, (channels, *shape), cache)
        result.append(ImageSeries(
            shape, plane, channels=channels, frames=len(table), depth=depth,
            is_colour=is_colour and sizes.get("C", 1) == 1, pixel_size_um=size,
        ))  # fmt: skip
    return result


def _by_depth(loops: list[dict[str, int]], numbers: list[int], depth: int) -> list[list[int]]:
    """Return the numbers of a position's frames by time and depth."""
    rows: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for number in numbers:
        time = tuple(item for item in sorted(loops[number].items())
                     if item[0] not in (POSITION, DEPTH))  # fmt: skip
        rows.setdefault(time, [0] * depth)[loops[number].get(DEPTH, 0)] = number
    return list(rows.values())


def _plane(
    path: Path, table: list[list[int]], shape: tuple[int, int, int], cache: DecodedTileCache,
    frame: int, depth: int,
) -> Samples:  # fmt: skip
    number = table[frame][depth]
    return WholePlane(shape, number, partial(_read, path, number, shape), cache)


def _read(path: Path, number: int, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Read one frame, [C, H, W]; nd2 returns [(C,) H, W (, S)]."""
    import nd2

    with damage_reported(path), nd2.ND2File(path) as file:
        pixels = np.array(file.read_frame(number))
    height, width = shape[1:]
    samples = pixels.shape[-1] if pixels.shape[-2:] != (height, width) or pixels.ndim == 4 else 1
    return np.moveaxis(pixels.reshape(-1, height, width, samples), -1, 1).reshape(shape)


READER = ImageReader(
    "Nikon ND2", (".nd2",), open_nd2, packages=("nd2",), extra="nd2",
    begins=lambda start: start.startswith(STARTS),
)  # fmt: skip
