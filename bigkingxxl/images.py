"""Images read by window, with statistics of the whole: what every method sees of a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window, tile_starts, whole
from bigkingxxl.settings import Settings

Float32 = NDArray[np.float32]
LEVELS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9,
          100.0)  # fmt: skip
SUBSAMPLE_ABOVE = 16_000_000
SAMPLED_PLACES = 4  # each way, of which a sample is chosen


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Intensity statistics of a whole image, or of evenly spread windows of a huge one.

    Attributes:
        percentiles: float32[C, 17], at `LEVELS` per cent.
        mean, std: float32[C].
        finite_fraction: share of values that are neither NaN nor infinite.
    """

    percentiles: Float32
    mean: Float32
    std: Float32
    finite_fraction: float

    def percentile(self, level: float) -> Float32:
        """float32[C]: interpolated between the levels kept."""
        return np.array([np.interp(level, LEVELS, row) for row in self.percentiles], np.float32)

    def negated(self) -> ImageStatistics:
        """Those of the image with bright and dark exchanged."""
        return ImageStatistics(
            -self.percentiles[:, ::-1], -self.mean, self.std, self.finite_fraction
        )

    def as_json(self) -> dict[str, Any]:
        """Numbers that give the same statistics back, see `of_json`."""
        return {name: np.asarray(value, np.float64).tolist() for name, value in vars(self).items()}

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> ImageStatistics:
        """What `as_json` gave."""
        arrays = (np.array(values[name], np.float32) for name in ("percentiles", "mean", "std"))
        percentiles, mean, std = arrays
        return cls(percentiles, mean, std, float(values["finite_fraction"]))

    @property
    def is_blank(self) -> bool:
        """True where nothing can be seen: every channel constant, or no finite value at all."""
        return bool((self.percentiles[:, -1] <= self.percentiles[:, 0]).all())


class Part(NamedTuple):
    """Where a block lies in a large image, all blocks of which are seen on one lattice of tiles.

    Attributes:
        window: of the image; size: (H, W) of the image.
        core: (rows, columns) that a block owns; margin: pixels around it that it mostly sees.
    """

    window: Window
    size: tuple[int, int]
    core: tuple[int, int]
    margin: int


class ImageSource(ABC):
    """An image of any size that is read by window.

    Attributes:
        name: what results and messages call it.
        shape: (H, W) in pixels.
        channels: C.
        pixel_size_um: micrometres per pixel (row, column), or None where unknown.
        cell_diameter: of its cells, in its pixels, where somebody says; else None.
        part: which block of a large image it is; None where it is seen by itself.
    """

    name: str
    shape: tuple[int, int]
    channels: int
    pixel_size_um: tuple[float, float] | None
    cell_diameter: float | None = None
    part: Part | None = None

    @abstractmethod
    def read_raw(self, window: Window) -> Float32:
        """float32[C, h, w] of a window inside the image; NaNs and infinities as stored."""

    def read(self, window: Window | None = None) -> Float32:
        """float32[C, h, w] of a window inside the image (default: all of it).

        Values that are not finite become the channel's median, so that one bad pixel of a camera
        does not spoil a tile.
        """
        pixels = self.read_raw(whole(self.shape) if window is None else window)
        bad = ~np.isfinite(pixels)
        if bad.any():
            median = self.statistics.percentile(50.0)[:, None, None]
            pixels = np.where(bad, median, pixels).astype(np.float32)
        return pixels

    def read_padded(self, window: Window) -> Float32:
        """float32[C, h, w] of a window that may reach beyond the image, mirrored there."""
        rows = _mirrored(window.row0, window.row1, self.shape[0])
        cols = _mirrored(window.col0, window.col1, self.shape[1])
        row0, col0 = int(rows.min()), int(cols.min())
        inner = Window(row0, col0, int(rows.max()) + 1, int(cols.max()) + 1)
        pixels = self.read(inner)
        return pixels if inner == window else pixels[:, rows[:, None] - row0, cols - col0]

    @cached_property
    def statistics(self) -> ImageStatistics:
        """Of the whole image; of up to 64 spread windows above 16 million pixels."""
        height, width = self.shape
        if height * width <= SUBSAMPLE_ABOVE:
            return measure(self.read_raw(whole(self.shape)))
        side = 512
        rows = tile_starts(height, min(side, height), 0)
        cols = tile_starts(width, min(side, width), 0)
        rows, cols = rows[:: -(-len(rows) // 8)], cols[:: -(-len(cols) // 8)]
        windows = [Window(r, c, r + side, c + side).clipped(self.shape) for r in rows for c in cols]
        parts = [self.read_raw(window).reshape(self.channels, -1) for window in windows]
        return measure(np.concatenate(parts, axis=1)[:, :, None])


def busy_windows(source: ImageSource, side: int) -> list[Window]:
    """Up to four windows of an image, spread over it: in each quarter one with much contrast.

    Where an image is judged by a sample, these are it: cells are seldom spread evenly, and what
    lies between them tells nothing of them.

    Args:
        side: of a window, in pixels.
    """
    rows, cols = (
        np.linspace(0, max(length - side, 0), SAMPLED_PLACES).astype(int).tolist()
        for length in source.shape
    )
    half = SAMPLED_PLACES // 2
    found: list[Window] = []
    for some_rows in (rows[:half], rows[half:]):
        for some_cols in (cols[:half], cols[half:]):
            corners = [(row, col) for row in some_rows for col in some_cols]
            windows = [Window(r, c, r + side, c + side).clipped(source.shape) for r, c in corners]
            found.append(max(windows, key=lambda window: _contrast(source, window)))
    return list(dict.fromkeys(found))


def _contrast(source: ImageSource, window: Window) -> float:
    """The standard deviation of the middle of a window, in spreads of the whole image."""
    (height, width), (row, col) = window.size, (window.row0, window.col0)
    top, left = row + height // 4, col + width // 4
    middle = Window(top, left, top + max(height // 2, 1), left + max(width // 2, 1))
    pixels = source.read(middle)
    spread = np.maximum(source.statistics.std, np.float32(1e-30))
    return float((pixels.std(axis=(1, 2), dtype=np.float64) / spread).mean())


def _mirrored(start: int, stop: int, length: int) -> NDArray[np.int64]:
    """Pixels start .. stop - 1 of a side, reflected at its ends (the last pixel is repeated)."""
    index = np.arange(start, stop, dtype=np.int64) % (2 * length)
    reflected: NDArray[np.int64] = np.minimum(index, 2 * length - 1 - index)
    return reflected


def measure(pixels: Float32) -> ImageStatistics:
    """Statistics of float32[C, h, w]; values that are not finite do not count."""
    flat = pixels.reshape(len(pixels), -1)
    finite = np.isfinite(flat)
    rows = []
    for channel, good in zip(flat, finite, strict=True):
        values = channel if good.all() else channel[good]
        values = values if len(values) else np.zeros(1, np.float32)
        levels = np.percentile(values, LEVELS)
        rows.append((levels, values.mean(dtype=np.float64), values.std(dtype=np.float64)))
    return ImageStatistics(
        np.array([row[0] for row in rows], np.float32),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.float32),
        float(finite.mean()) if finite.size else 0.0,
    )


class ArrayImage(ImageSource):
    """An image in memory.

    Args:
        pixels: [H, W] or [C, H, W], any real dtype.
    """

    def __init__(
        self,
        pixels: NDArray[Any],
        name: str = "image",
        pixel_size_um: tuple[float, float] | None = None,
    ) -> None:
        if pixels.ndim not in (2, 3) or 0 in pixels.shape:
            raise ValueError(f"an image needs [H, W] or [C, H, W] pixels, got {pixels.shape}")
        self.pixels = pixels[None] if pixels.ndim == 2 else pixels
        self.name = name
        self.channels = len(self.pixels)
        self.shape = (int(self.pixels.shape[1]), int(self.pixels.shape[2]))
        self.pixel_size_um = pixel_size_um

    def read_raw(self, window: Window) -> Float32:
        """See `ImageSource.read_raw`."""
        rows, cols = window.slices
        return self.pixels[:, rows, cols].astype(np.float32)


class PartOfImage(ImageSource):
    """A window of another image, seen as it would be seen in the whole of it.

    Its statistics are those of the whole image, so that every part is normalised alike.

    Args:
        source: the image; window: inside it.
        blocks: core and margin of the image's blocks, of which the part is one or several that are
            seen as in the whole of the image; by default it is seen by itself.
    """

    def __init__(
        self, source: ImageSource, window: Window,
        blocks: tuple[tuple[int, int], int] | None = None,
    ) -> None:  # fmt: skip
        self.source, self.window = source, window
        self.part = None if blocks is None else Part(window, source.shape, *blocks)
        self.name, self.channels, self.shape = source.name, source.channels, window.size
        self.pixel_size_um, self.cell_diameter = source.pixel_size_um, source.cell_diameter
        self.statistics = source.statistics

    def read_raw(self, window: Window) -> Float32:
        """See `ImageSource.read_raw`; a block is also read around it, inside the image."""
        row, col = self.window.row0, self.window.col0
        return self.source.read_raw(
            Window(window.row0 + row, window.col0 + col, window.row1 + row, window.col1 + col)
        )


class OneChannel(ImageSource):
    """One channel of another image.

    Args:
        source: the image; channel: counted from 0.
    Raises:
        ImageError: it has no such channel.
    """

    def __init__(self, source: ImageSource, channel: int) -> None:
        if not 0 <= channel < source.channels:
            raise ImageError(
                f"{source.name} has no channel {channel}: it has {source.channels}, counted from 0"
            )
        self.source, self.channel = source, channel
        self.name, self.shape, self.channels = source.name, source.shape, 1
        self.pixel_size_um, self.cell_diameter = source.pixel_size_um, source.cell_diameter

    def read_raw(self, window: Window) -> Float32:
        """See `ImageSource.read_raw`."""
        return self.source.read_raw(window)[self.channel : self.channel + 1]


class Normalisation(Settings):
    """Intensities to the scale a network sees, from the statistics of the whole image.

    The median becomes 0 and the distance from the low to the high percentile becomes 2, so that
    the grey of the background is the same in every image, however many cells it shows.

    Attributes:
        low, high: percentiles; limit: values beyond it, either way, are clipped.
        zero: what becomes 0, the median or, as Cellpose has it, the low percentile.
    """

    low: float = Field(0.5, ge=0, lt=50)
    high: float = Field(99.5, gt=50, le=100)
    limit: float = Field(5.0, gt=0, le=1e9)
    zero: Literal["median", "low"] = "median"

    def apply(self, pixels: Float32, statistics: ImageStatistics) -> Float32:
        """float32[C, h, w] normalised and clipped to -limit .. limit."""
        level = 50.0 if self.zero == "median" else self.low
        middle = statistics.percentile(level)[:, None, None]
        spread = (statistics.percentile(self.high) - statistics.percentile(self.low))[:, None, None]
        # An image may be in any unit, 1e-9 as well. A spread of 0 leaves a few lone pixels.
        scaled = (pixels - middle) * (2 / np.where(spread > 1e-30, spread, np.float32(1e-6)))
        result: Float32 = np.clip(scaled, -self.limit, self.limit).astype(np.float32)
        return result
