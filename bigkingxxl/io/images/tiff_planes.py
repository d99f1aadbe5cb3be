"""Planes of a TIFF read by window: directly if they are uncompressed, else by strip or tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.io.images.file_image import Samples
from bigkingxxl.io.images.read_errors import damage_reported
from bigkingxxl.io.images.stored_array import StoredArray
from bigkingxxl.io.images.tiff_checks import check_codestream
from bigkingxxl.io.images.tile_cache import DecodedTileCache

LARGEST_SEGMENT = 1 << 31  # bytes of a decoded strip or tile
JPEGS = (6, 7, 33007, 34892)  # compressions whose strips and tiles need the tables of the page


@dataclass(frozen=True)
class UncompressedPlane:
    """A plane that is stored uncompressed and contiguously.

    Args:
        path: The file.
        stored: (separate samples, H, W, interleaved samples), as tifffile normalises shapes.
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    stored: tuple[int, int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W)."""
        separate, height, width, interleaved = self.stored
        return separate * interleaved, height, width

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w]; the file is opened each time, so that no handle stays open.

        Raises:
            ImageError: The file is missing or truncated.
        """
        separate, _, _, interleaved = self.stored
        array = StoredArray(self.path, self.offset, self.dtype, self.stored)
        rows, cols = (window.row0, window.row1), (window.col0, window.col1)
        return _channels_first(array.read([(0, separate), rows, cols, (0, interleaved)]))


class SegmentedPlane:
    """A plane of strips or tiles; only those that a window touches are read.

    Args:
        path: The file that contains the plane, which may be any of a series.
        page: A page or frame of tifffile.
        cache: The cache of decoded tiles.
    """

    def __init__(self, path: Path, page: Any, cache: DecodedTileCache) -> None:
        keyframe = page.keyframe
        self.path, self.dtype = path, np.dtype(keyframe.dtype)
        separate, _, height, width, interleaved = keyframe.shaped
        self.stored = (int(separate), int(height), int(width), int(interleaved))
        self._offsets, self._counts = page.dataoffsets, page.databytecounts
        self._decode, self._nothing = keyframe.decode, keyframe.nodata
        self._tables: dict[str, Any] = {}
        self._compression = int(keyframe.compression)
        if self._compression in JPEGS:
            self._tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
        self._recent = cache
        if keyframe.is_tiled:
            self._segment = (int(keyframe.tilelength), int(keyframe.tilewidth))
        else:
            self._segment = (min(int(keyframe.rowsperstrip), height), int(width))
        tall, wide = self._segment
        if min(tall, wide) < 1:
            raise ImageError(f"{path} is damaged: its strips or tiles have no pixels", file=path)
        if tall * wide * interleaved * self.dtype.itemsize > LARGEST_SEGMENT:
            raise ImageError(
                f"{path} is compressed in pieces of {wide} x {tall} pixels, too large to be "
                "decoded one by one: save it in tiles, or as OME-Zarr",
                file=path,
                key="pixels",
                found=(tall, wide),
            )
        needed = separate * -(-height // tall) * -(-width // wide)
        if min(len(self._offsets), len(self._counts)) < needed:
            raise ImageError(
                f"{path} is damaged: some of its strips or tiles are not listed", file=path
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W)."""
        separate, height, width, interleaved = self.stored
        return separate * interleaved, height, width

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w].

        Raises:
            ImageError: A strip or tile cannot be decoded.
        """
        separate, height, width, interleaved = self.stored
        (tall, wide), across = self._segment, -(-width // self._segment[1])
        a_sample = across * -(-height // tall)
        result = np.full((separate, *window.size, interleaved), self._nothing, self.dtype)
        try:
            with self.path.open("rb") as stream:
                for sample in range(separate):
                    for down in range(window.row0 // tall, -(-window.row1 // tall)):
                        for right in range(window.col0 // wide, -(-window.col1 // wide)):
                            index = sample * a_sample + down * across + right
                            pixels = self._segment_pixels(stream, index)
                            _paste(result[sample], pixels, window, (down * tall, right * wide))
        except OSError as error:
            raise ImageError(
                f"{self.path} cannot be read: {error.strerror}", file=self.path
            ) from error
        return _channels_first(result)

    def _segment_pixels(self, stream: BinaryIO, index: int) -> NDArray[Any]:
        """Decode a strip or tile, [h, w, interleaved samples]; empty if the file omits it."""
        offset, count = int(self._offsets[index]), int(self._counts[index])

        def decode() -> NDArray[Any]:
            stream.seek(offset)
            data = stream.read(count)
            check_codestream(self.path, self._compression, data, self._segment)
            pixels: NDArray[Any] | None
            with damage_reported(self.path):
                pixels, _, _ = self._decode(data, index, **self._tables)
            return np.zeros((0, 0, 1), self.dtype) if pixels is None else pixels[0]

        if count == 0:
            return np.zeros((0, 0, 1), self.dtype)
        return self._recent.get((str(self.path), offset, index), decode)


def _paste(
    target: NDArray[Any], pixels: NDArray[Any], window: Window, corner: tuple[int, int]
) -> None:
    """Copy the part of a strip or tile inside the window; both are [h, w, samples]."""
    row, col = corner
    part = Window(row, col, row + pixels.shape[0], col + pixels.shape[1])
    top, left = max(part.row0, window.row0), max(part.col0, window.col0)
    bottom, right = min(part.row1, window.row1), min(part.col1, window.col1)
    if top < bottom and left < right:
        target[
            top - window.row0 : bottom - window.row0, left - window.col0 : right - window.col0
        ] = pixels[top - row : bottom - row, left - col : right - col]


def _channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """Convert [separate samples, h, w, interleaved samples] to [C, h, w]."""
    separate, height, width, interleaved = pixels.shape
    return np.moveaxis(pixels, 3, 1).reshape(separate * interleaved, height, width)


@dataclass(frozen=True)
class PalettePlane:
    """A plane of indices into a table of colours.

    Args:
        indices: The plane of indices.
        colours: uint16[3, K] as stored in TIFF: with 16 bits or, by some programs, 8 bits.
    """

    path: Path
    indices: Samples
    colours: NDArray[np.uint16]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (3, H, W)."""
        return (3, *self.indices.shape[1:])

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        is_8_bits = int(self.colours.max(initial=0)) < 256
        return (self.colours if is_8_bits else self.colours >> 8).astype(np.uint8)

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [3, h, w] with values 0 .. 255.

        Raises:
            ImageError: A pixel refers to a colour that is not in the table.
        """
        indices = self.indices.read(window)[0].astype(np.intp)
        if indices.size and indices.max() >= self._table.shape[1]:
            raise ImageError(
                f"{self.path} is damaged: a pixel has no colour in its palette", file=self.path
            )
        return self._table[:, indices]


@dataclass(frozen=True)
class InvertedPlane:
    """Unsigned samples with white stored as 0.

    Args:
        plane: The plane.
        white: The largest value of a sample.
    """

    stored: Samples
    white: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W)."""
        return self.stored.shape

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w], with white as the highest value."""
        pixels = self.stored.read(window)
        if pixels.dtype.kind == "b":
            return ~pixels
        return np.asarray(pixels.dtype.type(self.white) - pixels)


@dataclass(frozen=True)
class FirstChannels:
    """The first channels of a plane without alpha."""

    plane: Samples
    count: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W)."""
        return (self.count, *self.plane.shape[1:])

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w]."""
        return self.plane.read(window)[: self.count]


@dataclass(frozen=True)
class StackedPlanes:
    """Channels that are stored on separate pages."""

    planes: Sequence[Samples]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W)."""
        first = self.planes[0].shape
        return sum(plane.shape[0] for plane in self.planes), first[1], first[2]

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w]."""
        return np.concatenate([plane.read(window) for plane in self.planes])
