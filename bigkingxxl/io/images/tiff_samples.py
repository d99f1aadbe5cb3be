"""Planes of a TIFF read by window: mapped where they lie plain in the file, else strip by strip."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.io.images.file_image import Samples
from bigkingxxl.io.images.pillow_files import channels_of, opened

CACHED_BYTES = 1 << 28


@dataclass
class Recent:
    """Strips or tiles decoded last, so that neighbouring windows do not decode them again.

    The latest one is always kept, however large: a compressed image in one strip is decoded once.
    Frames of one file share it, in whatever thread each is read.
    """

    limit: int = CACHED_BYTES
    _kept: OrderedDict[tuple[int, int], NDArray[Any]] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: tuple[int, int], decode: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What `decode` gives, kept under the key."""
        with self._lock:
            pixels = self._kept.pop(key, None)
            if pixels is None:
                pixels = decode()
                self._bytes += pixels.nbytes
            self._kept[key] = pixels
            while self._bytes > self.limit and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= dropped.nbytes
        return pixels


@dataclass(frozen=True)
class MappedPlane:
    """A plane that lies uncompressed and in one piece in the file.

    Args:
        stored: (separate samples, H, W, interleaved samples), as tifffile normalises shapes.
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    stored: tuple[int, int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        separate, height, width, interleaved = self.stored
        return separate * interleaved, height, width

    def read(self, window: Window) -> NDArray[Any]:
        """[C, h, w] of a window. The file is mapped anew: no handle stays open.

        Raises:
            ImageError: the file is gone, or shorter than it was.
        """
        try:
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.stored)
        except (OSError, ValueError) as error:
            raise ImageError(f"{self.path} is damaged or cut off ({error})") from error
        rows, cols = window.slices
        return _channels_first(np.array(mapped[:, rows, cols]))


class SegmentedPlane:
    """A plane of strips or tiles, compressed or not; only those a window touches are read.

    Args:
        page: tifffile's page or frame.
        dtype: of its decoded samples.
    """

    def __init__(self, path: Path, page: Any, dtype: np.dtype[Any], recent: Recent) -> None:
        keyframe = page.keyframe
        self.path, self.dtype = path, dtype
        separate, _, height, width, interleaved = keyframe.shaped
        self.stored = (int(separate), int(height), int(width), int(interleaved))
        self._offsets, self._counts = page.dataoffsets, page.databytecounts
        self._decode, self._tables = keyframe.decode, page.jpegtables
        self._recent = recent
        if keyframe.is_tiled:
            self._segment = (int(keyframe.tilelength), int(keyframe.tilewidth))
        else:
            self._segment = (min(int(keyframe.rowsperstrip), height), int(width))
        tall, wide = self._segment
        needed = separate * -(-height // tall) * -(-width // wide)
        if min(len(self._offsets), len(self._counts)) < needed:
            raise ImageError(f"{path} is damaged: some of its strips or tiles are not listed")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        separate, height, width, interleaved = self.stored
        return separate * interleaved, height, width

    def read(self, window: Window) -> NDArray[Any]:
        """[C, h, w] of a window.

        Raises:
            ImageError: a strip or tile cannot be decoded.
        """
        separate, height, width, interleaved = self.stored
        (tall, wide), across = self._segment, -(-width // self._segment[1])
        a_sample = across * -(-height // tall)
        result = np.zeros((separate, *window.size, interleaved), self.dtype)
        with self.path.open("rb") as stream:
            for sample in range(separate):
                for down in range(window.row0 // tall, -(-window.row1 // tall)):
                    for right in range(window.col0 // wide, -(-window.col1 // wide)):
                        index = sample * a_sample + down * across + right
                        pixels = self._segment_pixels(stream, index)
                        _paste(result[sample], pixels, window, (down * tall, right * wide))
        return _channels_first(result)

    def _segment_pixels(self, stream: BinaryIO, index: int) -> NDArray[Any]:
        """[h, w, interleaved samples] of one strip or tile; empty where the file leaves it out."""
        offset, count = int(self._offsets[index]), int(self._counts[index])

        def decode() -> NDArray[Any]:
            stream.seek(offset)
            pixels: NDArray[Any] | None
            try:
                pixels, _, _ = self._decode(stream.read(count), index, jpegtables=self._tables)
            except Exception as error:  # decoders of damaged bytes raise anything
                raise ImageError(f"{self.path} is damaged or cut off ({error})") from error
            return np.zeros((0, 0, 1), self.dtype) if pixels is None else pixels[0]

        if count == 0:
            return np.zeros((0, 0, 1), self.dtype)
        return self._recent.get((offset, index), decode)


def _paste(
    target: NDArray[Any], pixels: NDArray[Any], window: Window, corner: tuple[int, int]
) -> None:
    """Copy the part of a strip or tile that lies in the window; both [h, w, samples]."""
    row, col = corner
    part = Window(row, col, row + pixels.shape[0], col + pixels.shape[1])
    top, left = max(part.row0, window.row0), max(part.col0, window.col0)
    bottom, right = min(part.row1, window.row1), min(part.col1, window.col1)
    if top < bottom and left < right:
        target[
            top - window.row0 : bottom - window.row0, left - window.col0 : right - window.col0
        ] = pixels[top - row : bottom - row, left - col : right - col]


def _channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """[C, h, w] from [separate samples, h, w, interleaved samples]."""
    separate, height, width, interleaved = pixels.shape
    return np.moveaxis(pixels, 3, 1).reshape(separate * interleaved, height, width)


@dataclass(frozen=True)
class PillowPlane:
    """A plane in a compression that only Pillow reads (LZW, JPEG), decoded whole when first asked.

    Args:
        page: counted from 0 among the file's pages.
    """

    path: Path
    page: int
    shape: tuple[int, int, int]
    recent: Recent = field(repr=False)

    def read(self, window: Window) -> NDArray[Any]:
        """[C, h, w] of a window.

        Raises:
            ImageError: the page cannot be decoded.
        """
        pixels = self.recent.get((self.page, -1), self._decode)
        return pixels[(slice(None), *window.slices)]

    def check(self) -> None:
        """Refuse what Pillow cannot read, before any pixel is.

        Raises:
            ImageError: it does not know the page's combination of samples and compression.
        """
        with opened(self.path, self.shape[1] * self.shape[2], ("TIFF",)) as image:
            image.seek(self.page)

    def _decode(self) -> NDArray[Any]:
        with opened(self.path, self.shape[1] * self.shape[2], ("TIFF",)) as image:
            image.seek(self.page)
            image.load()
            return channels_of(image)[0]


@dataclass(frozen=True)
class PalettePlane:
    """Indices into a table of colours.

    Args:
        colours: uint16[3, K], as TIFF stores them.
    """

    indices: Samples
    colours: NDArray[np.uint16]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, H, W)."""
        return (3, *self.indices.shape[1:])

    def read(self, window: Window) -> NDArray[Any]:
        """[3, h, w] of a window, 0 .. 255."""
        return (self.colours >> 8).astype(np.uint8)[:, self.indices.read(window)[0]]


@dataclass(frozen=True)
class InvertedPlane:
    """Unsigned samples stored with white as 0."""

    stored: Samples

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.stored.shape

    def read(self, window: Window) -> NDArray[Any]:
        """[C, h, w] of a window, white the highest value."""
        pixels = self.stored.read(window)
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)


@dataclass(frozen=True)
class StackedPlanes:
    """Channels that lie on pages of their own."""

    planes: Sequence[Samples]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        first = self.planes[0].shape
        return sum(plane.shape[0] for plane in self.planes), first[1], first[2]

    def read(self, window: Window) -> NDArray[Any]:
        """[C, h, w] of a window."""
        return np.concatenate([plane.read(window) for plane in self.planes])
