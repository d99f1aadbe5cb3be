"""Images that are read by window, with statistics of the whole image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
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
SAMPLED_PLACES = 4  # positions along each axis from which the busiest are chosen


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Intensity statistics of an image; those of a very large image are estimated from windows.

    Attributes:
        percentiles: float32[C, 17], the percentiles at `LEVELS`.
        mean: float32[C].
        std: float32[C].
        finite_fraction: The fraction of values that are neither NaN nor infinite.
    """

    percentiles: Float32
    mean: Float32
    std: Float32
    finite_fraction: float

    def percentile(self, level: float) -> Float32:
        """Interpolate a percentile from the stored levels: float32[C]."""
        return np.array([np.interp(level, LEVELS, row) for row in self.percentiles], np.float32)

    def negated(self) -> ImageStatistics:
        """Return the statistics of the image with bright and dark exchanged."""
        return ImageStatistics(
            -self.percentiles[:, ::-1], -self.mean, self.std, self.finite_fraction
        )

    def as_json(self) -> dict[str, Any]:
        """Convert the statistics to values that JSON can hold; `of_json` reads them."""
        return {name: np.asarray(value, np.float64).tolist() for name, value in vars(self).items()}

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> ImageStatistics:
        """Create statistics from the values that `as_json` returned."""
        arrays = (np.array(values[name], np.float32) for name in ("percentiles", "mean", "std"))
        percentiles, mean, std = arrays
        return cls(percentiles, mean, std, float(values["finite_fraction"]))

    @property
    def is_blank(self) -> bool:
        """Whether the image shows nothing: each channel is constant or has no finite value."""
        return bool((self.percentiles[:, -1] <= self.percentiles[:, 0]).all())


class Part(NamedTuple):
    """The position of a block in a large image; all blocks share one grid of tiles.

    Attributes:
        window: The window of the block in the image.
        size: (H, W) of the image.
        core: (rows, columns) that a block owns.
        margin: The number of pixels around the core that the block reads as well.
        image: What is the same for all parts of an image that are predicted alike, and for no other
            image. If None, nothing that is predicted for one part is kept for another.
    """

    window: Window
    size: tuple[int, int]
    core: tuple[int, int]
    margin: int
    image: Hashable = None


class ImageSource(ABC):
    """An image of any size that is read by window.

    Attributes:
        name: The name of the image in results and messages.
        shape: (H, W) in pixels.
        channels: The number of channels C.
        pixel_size_um: Micrometres per pixel (row, column), or None if unknown.
        cell_diameter: The diameter of the cells in pixels of the image, if someone has given it;
            else None.
        part: The position of this image as a block of a large image; None for an image of its own.
    """

    name: str
    shape: tuple[int, int]
    channels: int
    pixel_size_um: tuple[float, float] | None
    cell_diameter: float | None = None
    part: Part | None = None

    @abstractmethod
    def read_raw(self, window: Window) -> Float32:
        """Read a window inside the image, float32[C, h, w], with NaNs and infinities as stored."""

    def read(self, window: Window | None = None) -> Float32:
        """Read a window inside the image (default: the whole image), float32[C, h, w].

        Non-finite values are replaced by the median of the channel, so that a defective pixel of a
        camera does not spoil a tile.
        """
        pixels = self.read_raw(whole(self.shape) if window is None else window)
        bad = ~np.isfinite(pixels)
        if bad.any():
            median = self.statistics.percentile(50.0)[:, None, None]
            pixels = np.where(bad, median, pixels).astype(np.float32)
        return pixels

    @cached_property
    def statistics(self) -> ImageStatistics:
        """The statistics of the image; above 16 million pixels, of up to 64 spread windows."""
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
    """Select up to four windows of high contrast, one in each quarter of the image.

    An image is judged by these samples, because cells are seldom spread evenly and the empty areas
    between them say nothing about them.

    Args:
        source: The image.
        side: The side of a window in pixels.
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
    """Return the standard deviation in the middle of a window, relative to the whole image's."""
    (height, width), (row, col) = window.size, (window.row0, window.col0)
    top, left = row + height // 4, col + width // 4
    middle = Window(top, left, top + max(height // 2, 1), left + max(width // 2, 1))
    pixels = source.read(middle)
    spread = np.maximum(source.statistics.std, np.float32(1e-30))
    return float((pixels.std(axis=(1, 2), dtype=np.float64) / spread).mean())


def measure(pixels: Float32) -> ImageStatistics:
    """Compute the statistics of float32[C, h, w]; non-finite values are ignored."""
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
        pixels: [H, W] or [C, H, W] of any real dtype.
        name: The name of the image in results and messages.
        pixel_size_um: Micrometres per pixel (row, column), if known.
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
        """Read a window; see `ImageSource.read_raw`."""
        rows, cols = window.slices
        return self.pixels[:, rows, cols].astype(np.float32)


class PartOfImage(ImageSource):
    """A window of another image that is normalised as part of the whole image.

    Its statistics are those of the whole image, so that all parts are normalised alike.

    Args:
        source: The image.
        window: A window inside the image.
        blocks: The core and margin of the image's blocks, if the part consists of one or several
            blocks that are predicted on the tile grid of the whole image. By default the part is
            predicted by itself.
        image: See `Part.image`.
    """

    def __init__(
        self, source: ImageSource, window: Window,
        blocks: tuple[tuple[int, int], int] | None = None, image: Hashable = None,
    ) -> None:  # fmt: skip
        self.source, self.window = source, window
        self.part = None if blocks is None else Part(window, source.shape, *blocks, image)
        self.name, self.channels, self.shape = source.name, source.channels, window.size
        self.pixel_size_um, self.cell_diameter = source.pixel_size_um, source.cell_diameter
        self.statistics = source.statistics

    def read_raw(self, window: Window) -> Float32:
        """Read a window; see `ImageSource.read_raw`. A block also reads beyond its own window."""
        row, col = self.window.row0, self.window.col0
        return self.source.read_raw(
            Window(window.row0 + row, window.col0 + col, window.row1 + row, window.col1 + col)
        )


class OneChannel(ImageSource):
    """One channel of another image.

    Args:
        source: The image.
        channel: The channel, counted from 0.

    Raises:
        ImageError: The image has no such channel.
    """

    def __init__(self, source: ImageSource, channel: int) -> None:
        if not 0 <= channel < source.channels:
            raise ImageError(
                f"{source.name} has no channel {channel}: it has {source.channels}, counted from 0",
                key="channel",
                found=channel,
                expected=source.channels,
            )
        self.source, self.channel = source, channel
        self.name, self.shape, self.channels = source.name, source.shape, 1
        self.pixel_size_um, self.cell_diameter = source.pixel_size_um, source.cell_diameter

    def read_raw(self, window: Window) -> Float32:
        """Read a window; see `ImageSource.read_raw`."""
        return self.source.read_raw(window)[self.channel : self.channel + 1]


class Normalisation(Settings):
    """The normalisation of intensities, based on the statistics of the whole image.

    The median becomes 0, and the distance between the low and the high percentile becomes 2. The
    background thus has the same grey level in every image, however many cells it shows.

    Attributes:
        low: The lower percentile.
        high: The upper percentile.
        limit: Normalised values are clipped to -limit .. limit.
        zero: The value that becomes 0: the median or, as in Cellpose, the lower percentile.
    """

    low: float = Field(0.5, ge=0, lt=50)
    high: float = Field(99.5, gt=50, le=100)
    limit: float = Field(5.0, gt=0, le=1e9)
    zero: Literal["median", "low"] = "median"

    def apply(self, pixels: Float32, statistics: ImageStatistics) -> Float32:
        """Normalise and clip pixels, float32[C, h, w]."""
        level = 50.0 if self.zero == "median" else self.low
        middle = statistics.percentile(level)[:, None, None]
        spread = (statistics.percentile(self.high) - statistics.percentile(self.low))[:, None, None]
        # Intensities may have any unit, so the spread may be as small as 1e-9. A spread of 0 can
        # still leave a few outlying pixels.
        scaled = (pixels - middle) * (2 / np.where(spread > 1e-30, spread, np.float32(1e-6)))
        result: Float32 = np.clip(scaled, -self.limit, self.limit).astype(np.float32)
        return result
