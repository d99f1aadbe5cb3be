"""Zeiss CZI files, read by czifile (BSD), which needs Python 3.12 or newer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.geometry import Window
from bigkingxxl.io.images.file_image import PixelSize, Samples, check_size
from bigkingxxl.io.images.read_errors import damage_reported
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.tiff_pixel_size import pixel_size

START = b"ZISRAWFILE"
METRE_UM = 1e6


def open_czi(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """Return a series for each scene with its tiles merged; read by window.

    Raises:
        ImageError: The file is damaged or above the limit.
    """
    import czifile

    with czifile.CziFile(path, squeeze=False) as file:
        size = _pixel_size(file.xml_element)
        return [_series(path, scene, image, size, pixel_limit)
                for scene, image in file.scenes.items()]  # fmt: skip


def _series(
    path: Path, scene: int, image: Any, size: PixelSize | None, pixel_limit: int
) -> ImageSeries:
    sizes = {str(axis): int(count) for axis, count in image.sizes.items()}
    starts = dict(zip(sizes, map(int, image.start), strict=True))
    shape = sizes["Y"], sizes["X"]
    check_size(path, shape, pixel_limit)
    samples = sizes.get("S", 1)
    channels = sizes.get("C", 1) * samples
    others = [axis for axis in sizes if axis not in "YXSZC"]
    frames = int(np.prod([sizes[axis] for axis in others], dtype=np.int64))
    corner = int(image.bbox[0]), int(image.bbox[1])

    def plane(frame: int, depth: int) -> Samples:
        places = np.unravel_index(frame, [sizes[axis] for axis in others] or (1,))
        index = {axis: starts[axis] + int(place)
                 for axis, place in zip(others, places, strict=False)}  # fmt: skip
        if "Z" in sizes:
            index["Z"] = starts["Z"] + depth
        return CziPlane(path, scene, index, corner, (channels, *shape), "C" in sizes)

    return ImageSeries(
        shape, plane, channels=channels, frames=frames, depth=sizes.get("Z", 1),
        is_colour=samples in (3, 4) and channels == samples, pixel_size_um=size,
    )  # fmt: skip


@dataclass(frozen=True)
class CziPlane:
    """All channels of one plane of a scene.

    Args:
        index: The position on each axis except channels, rows and columns, counted as in the file.
        corner: (column, row) of the first pixel of the scene, counted as in the file.
    """

    path: Path
    scene: int
    index: dict[str, int]
    corner: tuple[int, int]
    shape: tuple[int, int, int]
    has_channels: bool

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w].

        Raises:
            ImageError: A tile cannot be decoded.
        """
        import czifile

        height, width = window.size
        roi = self.corner[0] + window.col0, self.corner[1] + window.row0, width, height
        order: dict[str, Any] = {"C": None} if self.has_channels else {}
        with damage_reported(self.path), czifile.CziFile(self.path, squeeze=False) as file:
            image = file.scenes[self.scene](**self.index, **order)
            pixels = np.asarray(image(roi=roi).asarray())
        samples = pixels.size // max(height * width, 1)
        colours = pixels.shape[-1] if pixels.shape[-2:] != (height, width) else 1
        stacked = pixels.reshape(samples // colours, height, width, colours)
        return np.moveaxis(stacked, 3, 1).reshape(samples, height, width)


def _pixel_size(metadata: Any) -> PixelSize | None:
    """Return the pixel size from `Scaling`, which is in metres."""
    if metadata is None:
        return None
    sides: list[float | None] = []
    for axis in "YX":
        value = metadata.find(f".//Scaling/Items/Distance[@Id='{axis}']/Value")
        try:
            sides.append(float(value.text) * METRE_UM)
        except (AttributeError, TypeError, ValueError):
            sides.append(None)
    return pixel_size(*sides)


READER = ImageReader(
    "Zeiss CZI", (".czi",), open_czi, packages=("czifile",), extra="czi", python=(3, 12),
    begins=lambda start: start.startswith(START),
)  # fmt: skip
