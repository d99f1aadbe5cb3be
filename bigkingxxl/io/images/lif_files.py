"""Leica LIF files, read by liffile (BSD)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images.file_image import PixelSize, Samples, check_size
from bigkingxxl.io.images.read_errors import damage_reported
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.tiff_pixel_size import pixel_size
from bigkingxxl.io.images.tile_cache import DecodedTileCache, WholePlane

START = b"\x70\0\0\0"
METRE_UM = 1e6


def open_lif(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """Return a series for each image of a file, and for each tile of a mosaic.

    Raises:
        ImageError: The file is damaged, above the limit, or contains no two-dimensional image.
    """
    import liffile

    cache = DecodedTileCache()
    result: list[ImageSeries] = []
    with liffile.LifFile(path) as file:
        for number, image in enumerate(file.images):
            sizes = {str(axis): int(count) for axis, count in image.sizes.items()}
            if "Y" not in sizes or "X" not in sizes or image.is_flim:
                continue  # a line scan, a spectrum of one point, photon counts
            check_size(path, (sizes["Y"], sizes["X"]), pixel_limit)
            size = _pixel_size(image.coords)
            tiles = range(sizes.get("M", 1))
            result += [_series(path, number, sizes, tile, size, cache) for tile in tiles]
    if not result:
        raise ImageError(f"{path} contains no image of rows and columns", file=path)
    return result


def _series(
    path: Path, number: int, sizes: dict[str, int], tile: int, size: PixelSize | None,
    cache: DecodedTileCache,
) -> ImageSeries:  # fmt: skip
    channels, samples = sizes.get("C", 1), sizes.get("S", 1)
    others = [axis for axis in sizes if axis not in "YXSZCM"]
    frames = int(np.prod([sizes[axis] for axis in others], dtype=np.int64))
    shape = channels * samples, sizes["Y"], sizes["X"]

    def plane(frame: int, depth: int) -> Samples:
        places = np.unravel_index(frame, [sizes[axis] for axis in others] or (1,))
        index = {axis: int(place) for axis, place in zip(others, places, strict=False)}
        index |= {axis: value for axis, value in (("Z", depth), ("M", tile)) if axis in sizes}
        key = number, tile, frame, depth
        load = partial(_read, path, number, index, channels if "C" in sizes else 0, shape)
        return WholePlane(shape, key, load, cache)

    return ImageSeries(
        shape[1:], plane, channels=shape[0], frames=frames, depth=sizes.get("Z", 1),
        is_colour=channels == 1 and samples in (3, 4), pixel_size_um=size,
    )  # fmt: skip


def _read(
    path: Path, number: int, index: dict[str, int], channels: int, shape: tuple[int, int, int]
) -> NDArray[Any]:
    """Read one plane, [C, H, W]."""
    import liffile

    with damage_reported(path), liffile.LifFile(path) as file:
        image = file.images[number]
        chosen = [{"C": channel} for channel in range(channels)] or [{}]
        planes = [np.array(image.frame(**index, **each)) for each in chosen]
    height, width = shape[1:]
    stacked = np.stack([plane.reshape(height, width, -1) for plane in planes])
    return np.moveaxis(stacked, 3, 1).reshape(shape)


def _pixel_size(coordinates: Any) -> PixelSize | None:
    """Return the pixel size from the coordinates of rows and columns in metres."""
    sides = []
    for axis in "YX":
        places = coordinates.get(axis, ())
        is_known = len(places) > 1
        sides.append(abs(float(places[1] - places[0])) * METRE_UM if is_known else None)
    return pixel_size(*sides)


READER = ImageReader(
    "Leica LIF", (".lif",), open_lif, packages=("liffile",), extra="lif",
    begins=lambda start: start.startswith(START) and start[8:9] == b"\x2a",
)  # fmt: skip
