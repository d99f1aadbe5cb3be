"""Images as the page shows them: channels, levels of a pyramid, tiles and thumbnails."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.geometry import Window
from bigkingxxl.images import ImageSource
from bigkingxxl.viewer.contract import Channel, Level

TILE_SIDE = 512
WHOLE_LIMIT = 4096  # pixels per side of what is sent as a whole
THUMBNAIL_SIDE = 192
KEPT_FROM = 3  # levels from this one on are kept in memory; others are read on demand
BAND_PIXELS = 4_000_000
BINS = 256
LOW, HIGH = 0.1, 99.9  # percentiles that are shown as black and white
COLOURS = ("red", "green", "blue")
Float32 = NDArray[np.float32]
Place = tuple[int, int, int]  # source, channel and level


class BadTileError(ValueError):
    """The image does not have the level, tile or channel."""


def levels_of(size: tuple[int, int]) -> tuple[Level, ...]:
    """Return the levels of an image of (H, W): one if it is small, else down to a single tile."""
    levels = []
    for level in range(32):
        height, width = size_at(size, level)
        rows, cols = -(-height // TILE_SIDE), -(-width // TILE_SIDE)
        levels.append(Level(level=level, width=width, height=height, rows=rows, cols=cols))
        is_small = level == 0 and max(size) <= WHOLE_LIMIT
        if is_small or rows * cols == 1:
            break
    return tuple(levels)


def size_at(size: tuple[int, int], level: int) -> tuple[int, int]:
    """Return (H, W) at a level."""
    return -(-size[0] // (1 << level)), -(-size[1] // (1 << level))


def window_at(size: tuple[int, int], level: int, row: int | None, col: int | None) -> Window:
    """Return a tile of a level, or the whole level, in pixels of the level.

    Raises:
        BadTileError: The level or tile does not exist, or the whole level is too large.
    """
    levels = levels_of(size)
    if not 0 <= level < len(levels):
        raise BadTileError(f"there is no level {level}, but {len(levels)} from 0")
    height, width = size_at(size, level)
    if row is None and col is None:
        if max(height, width) > WHOLE_LIMIT:
            raise BadTileError(
                f"level {level} is {width} x {height} pixels: ask for tiles above {WHOLE_LIMIT}"
            )
        return Window(0, 0, height, width)
    if row is None or col is None:
        raise BadTileError("a tile has a row and a col")
    if not (0 <= row < levels[level].rows and 0 <= col < levels[level].cols):
        raise BadTileError(f"level {level} has no tile {row}, {col}")
    row0, col0 = row * TILE_SIDE, col * TILE_SIDE
    return Window(row0, col0, min(row0 + TILE_SIDE, height), min(col0 + TILE_SIDE, width))


def strided(raster: NDArray[Any], level: int, row: int | None, col: int | None) -> NDArray[Any]:
    """Sample every 2**level-th pixel of a tile of a raster of numbers.

    Raises:
        BadTileError: See `window_at`.
    """
    size = (int(raster.shape[0]), int(raster.shape[1]))
    window = window_at(size, level, row, col)
    return raster[:: 1 << level, :: 1 << level][window.slices]


@dataclass
class ShownImage:
    """An image in the viewer.

    Args:
        source: The image as it was predicted, or with all its channels.
        colours: The red, green and blue channel of a colour image, or ().
    """

    source: ImageSource
    colours: tuple[ImageSource, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _levels: dict[Place, Float32] = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """The (H, W) of the image."""
        return self.source.shape

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """The properties of each channel."""
        with self._lock:
            statistics = self.source.statistics
            sample = self._sample()
        low, high = statistics.percentile(LOW), statistics.percentile(HIGH)
        least, most = statistics.percentile(0.0), statistics.percentile(100.0)
        return tuple(
            Channel(
                index=index, name=f"channel {index}" if self.source.channels > 1 else "",
                low=float(low[index]), high=float(max(high[index], low[index])),
                minimum=float(least[index]), maximum=float(most[index]),
                histogram=_histogram(sample[index], float(least[index]), float(most[index])),
            )
            for index in range(self.source.channels)
        )  # fmt: skip

    def _sample(self) -> Float32:
        """Pixels of the image, float32[C, P]; of a large image, some rows."""
        height, width = self.size
        if height * width <= BAND_PIXELS:
            return self.source.read().reshape(self.source.channels, -1)
        count = max(1, BAND_PIXELS // width)
        rows = np.unique(np.linspace(0, height - 1, min(count, 64)).astype(int))
        parts = [self.source.read(Window(row, 0, row + 1, width)) for row in rows.tolist()]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def picture(
        self, *, level: int = 0, row: int | None = None, col: int | None = None,
        channel: str = "0", low: float | None = None, high: float | None = None,
    ) -> bytes:  # fmt: skip
        """Return an 8-bit PNG of a tile or a whole level.

        Raises:
            BadTileError: The level, tile or channel does not exist.
            ImageError: Pixels cannot be read.
        """
        window = window_at(self.size, level, row, col)
        if channel == "rgb":
            if not self.colours:
                raise BadTileError("the image has no colours")
            planes = [self._read(level, window, source, 0) for source in self.colours]
            limits = [(each.statistics.percentile(LOW)[0], each.statistics.percentile(HIGH)[0])
                      for each in self.colours]  # fmt: skip
            black = min(limit[0] for limit in limits) if low is None else low
            white = max(limit[1] for limit in limits) if high is None else high
            return png(np.stack([to_bytes(each, black, white) for each in planes], axis=-1))
        if not channel.isdecimal() or int(channel) >= self.source.channels:
            raise BadTileError(
                f"the image has no channel {channel}, but {self.source.channels} from 0"
            )
        known = self.channels[int(channel)]
        plane = self._read(level, window, self.source, int(channel))
        return png(to_bytes(plane, known.low if low is None else low,
                            known.high if high is None else high))  # fmt: skip

    def thumbnail(self) -> bytes:
        """Return a PNG whose longest side has 192 pixels."""
        from PIL import Image

        level = 0
        while max(size_at(self.size, level + 1)) >= THUMBNAIL_SIDE:
            level += 1
        plane = self._whole(level, self.source, 0)
        known = self.channels[0]
        picture = Image.fromarray(to_bytes(plane, known.low, known.high))
        picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        return _saved(picture)

    def _read(self, level: int, window: Window, source: ImageSource, channel: int) -> Float32:
        """Read a window of a level, float32[h, w]: means of 2**level x 2**level pixels."""
        if level >= KEPT_FROM:
            whole: Float32 = self._whole(level, source, channel)[window.slices]
            return whole
        step = 1 << level
        inner = Window(
            window.row0 * step, window.col0 * step,
            min(window.row1 * step, self.size[0]), min(window.col1 * step, self.size[1]),
        )  # fmt: skip
        with self._lock:  # readers of files are not thread-safe
            pixels = source.read(inner)[channel]
        return shrunk(pixels, step)

    def _whole(self, level: int, source: ImageSource, channel: int) -> Float32:
        """Compute a complete level, float32[h, w], in bands of rows; cached."""
        with self._lock:
            place = (id(source), channel, level)
            known = self._levels.get(place)
            if known is not None:
                return known
            below = self._levels.get((*place[:2], level - 1))
            found = (
                shrunk(below, 2, covers_at(self.size, level - 1))
                if below is not None
                else self._in_bands(level, source, channel)
            )
            self._levels[place] = found
            return found

    def _in_bands(self, level: int, source: ImageSource, channel: int) -> Float32:
        step, (height, width) = 1 << level, self.size
        rows = max(step, BAND_PIXELS // max(width, 1) // step * step)
        bands = [
            shrunk(source.read(Window(top, 0, min(top + rows, height), width))[channel], step)
            for top in range(0, height, rows)
        ]
        return np.concatenate(bands)


def shrunk(pixels: Float32, step: int, covers: tuple[float, float] = (1.0, 1.0)) -> Float32:
    """Average blocks of step x step pixels; incomplete blocks average what there is.

    Args:
        pixels: The pixels.
        step: The side of a block.
        covers: The fraction of a pixel that the last row and the last column stand for.
    """
    if step == 1:
        return pixels
    weights = [np.ones(length, np.float32) for length in pixels.shape]
    starts = [np.arange(0, length, step) for length in pixels.shape]
    for weight, cover in zip(weights, covers, strict=True):
        weight[-1] = cover
    total = np.add.reduceat(pixels * weights[0][:, None] * weights[1], starts[0], axis=0)
    total = np.add.reduceat(total, starts[1], axis=1)
    tall, wide = (np.add.reduceat(*each) for each in zip(weights, starts, strict=True))
    means: Float32 = (total / (tall[:, None] * wide)).astype(np.float32)
    return means


def covers_at(size: tuple[int, int], level: int) -> tuple[float, float]:
    """Return the fraction of a pixel of a level that the last row and the last column stand for."""
    step = 1 << level
    rows, cols = (((length - 1) % step + 1) / step for length in size)
    return rows, cols


def to_bytes(pixels: Float32, low: float, high: float) -> NDArray[np.uint8]:
    """Map low .. high to 0 .. 255, clipped, as uint8."""
    scale = 255 / max(float(high) - float(low), 1e-30)
    scaled = (pixels - np.float32(low)) * np.float32(min(scale, 3e38))
    result: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return result


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode [H, W] or [H, W, 3] as PNG."""
    from PIL import Image

    return _saved(Image.fromarray(pixels))


def _saved(picture: Any) -> bytes:
    content = BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _histogram(values: Float32, low: float, high: float) -> tuple[int, ...]:
    if not high > low:
        return (int(values.size), *([0] * (BINS - 1)))
    counts, _ = np.histogram(values, BINS, (low, high))
    return tuple(counts.tolist())
