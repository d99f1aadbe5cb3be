"""The grid of tiles of an image, shared by all of its blocks.

Maps depend on the tile in which they were computed. All blocks of a large image therefore share the
tiles of one grid and blend them with the same weights, so that two blocks have identical maps
where they overlap. Narrow tiles of their own lie across the seams between blocks and cover the
margins of both sides, so that blocks have no other tiles in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.geometry import Window, even_tile, multiple, tile_starts
from bigkingxxl.images import Part

Float32 = NDArray[np.float32]
SMALLEST_TILE = 256  # a network performs worse with less context than in training


class TileSize(NamedTuple):
    """The size of tiles, in network pixels.

    Attributes:
        largest: The largest side.
        overlap: The least overlap of neighbours.
        stride: Sides are multiples of it.
    """

    largest: int
    overlap: int
    stride: int

    def side(self, length: int) -> int:
        """Return the smallest side with which the fewest tiles cover a length."""
        needed = max(even_tile(length, self.largest, self.overlap), SMALLEST_TILE)
        return min(self.largest, multiple(needed, self.stride))


class Span(NamedTuple):
    """The position of a tile along one axis of the image, beyond which it may extend.

    Attributes:
        start: The start in network pixels.
        stop: The end in network pixels.
        weight: float32[stop - start], the blending weights; over all tiles they add up to 1 at each
            pixel.
        blocks: The number of blocks it belongs to: two if it lies across a seam, otherwise one.
    """

    start: int
    stop: int
    weight: Float32
    blocks: int = 1


class Tile(NamedTuple):
    """A tile: its position along the rows and along the columns."""

    rows: Span
    cols: Span

    @property
    def window(self) -> Window:
        """The window in network pixels; it may extend beyond the image."""
        return Window(self.rows.start, self.cols.start, self.rows.stop, self.cols.stop)

    @property
    def blocks(self) -> int:
        """The number of blocks it belongs to: one, two, or four where seams meet."""
        return self.rows.blocks * self.cols.blocks

    def add(self, maps: Float32, total: Float32, place: Window) -> None:
        """Add the weighted maps of the tile, float32[K, h, w], to the total of a window."""
        frame = self.window
        row0, col0 = max(frame.row0, place.row0), max(frame.col0, place.col0)
        row1, col1 = min(frame.row1, place.row1), min(frame.col1, place.col1)
        own = (slice(row0 - frame.row0, row1 - frame.row0),
               slice(col0 - frame.col0, col1 - frame.col0))  # fmt: skip
        there = (slice(row0 - place.row0, row1 - place.row0),
                 slice(col0 - place.col0, col1 - place.col0))  # fmt: skip
        weight = np.outer(self.rows.weight[own[0]], self.cols.weight[own[1]])
        total[(slice(None), *there)] += maps[(slice(None), *own)] * weight


@dataclass(frozen=True)
class TileGrid:
    """All tiles of an image, grouped by size.

    Attributes:
        rows: The tiles along the rows, in order.
        cols: The tiles along the columns, in order.
    """

    rows: Sequence[Span]
    cols: Sequence[Span]

    @classmethod
    def of(
        cls, size: tuple[int, int], tile: TileSize, part: Part | None = None, reach: int = 0
    ) -> TileGrid:
        """Create the grid of an image of (H, W) network pixels.

        Args:
            size: (H, W).
            tile: The size of the tiles.
            part: The block, if the image is processed in blocks.
            reach: The number of network pixels on either side of a seam that both blocks need.
        """
        sides = []
        for axis in (0, 1):
            seams = list[int]()
            if part is not None:
                length = part.size[axis]
                places = range(part.core[axis], length, part.core[axis])
                seams = [place * size[axis] // length for place in places]
            sides.append(_weighted(_places(size[axis], tile, seams, reach), size[axis], tile))
        return cls(sides[0], sides[1])

    def touching(self, window: Window) -> Iterator[list[Tile]]:
        """Yield the tiles that overlap a window, in lists of tiles of equal size."""
        rows, cols = self._spans(window)
        # Floating-point sums are identical only if their terms are added in the same order.
        for height in sorted({each.stop - each.start for each in rows}):
            for width in sorted({each.stop - each.start for each in cols}):
                yield [
                    Tile(row, col)
                    for row in rows if row.stop - row.start == height
                    for col in cols if col.stop - col.start == width
                ]  # fmt: skip

    def around(self, window: Window) -> Window:
        """Return the bounding window of the tiles that overlap a window."""
        rows, cols = self._spans(window)
        return Window(
            min(each.start for each in rows), min(each.start for each in cols),
            max(each.stop for each in rows), max(each.stop for each in cols),
        )  # fmt: skip

    def _spans(self, window: Window) -> tuple[list[Span], list[Span]]:
        """Return the rows and columns of the tiles that overlap a window."""
        return (
            [each for each in self.rows if each.start < window.row1 and each.stop > window.row0],
            [each for each in self.cols if each.start < window.col1 and each.stop > window.col0],
        )


class _Place(NamedTuple):
    """Start and stop of a tile along an axis, and the number of blocks it belongs to."""

    start: int
    stop: int
    blocks: int


def _places(length: int, tile: TileSize, seams: Sequence[int], reach: int) -> list[_Place]:
    """Return the tiles along an axis: across the seams and between them."""
    over = multiple(2 * (reach + tile.overlap), tile.stride)
    before = over // 2
    stretches = [_Place(seam - before, seam - before + over, 2) for seam in seams]
    edges = [-before, *seams, length + before]
    for left, right in pairwise(edges):
        # A tile across a seam and the next one share the overlap.
        first = left + before - (tile.overlap if left >= 0 else 0)
        last = right - before + (tile.overlap if right <= length else 0)
        if last > first:
            stretches.append(_Place(first, last, 1))
    found = []
    for first, last, blocks in stretches:
        side = tile.side(last - first)
        starts = tile_starts(last - first, side, tile.overlap)
        found += [_Place(first + start, first + start + side, blocks) for start in starts]
    return sorted(found)


def _weighted(places: Sequence[_Place], length: int, tile: TileSize) -> list[Span]:
    """Return spans with weights that fall linearly over the overlap, but never to 0."""
    total = np.zeros(length)
    weights = []
    for start, stop, _ in places:
        inside = np.arange(stop - start)
        distance = np.minimum(inside, inside[::-1]) + 1.0
        weights.append(np.minimum(1, distance / (tile.overlap + 1)))
        low, high = max(start, 0), min(stop, length)
        total[low:high] += weights[-1][low - start : high - start]
    spans = []
    for (start, stop, blocks), weight in zip(places, weights, strict=True):
        low, high = max(start, 0), min(stop, length)
        share = np.zeros(stop - start, np.float32)
        share[low - start : high - start] = weight[low - start : high - start] / total[low:high]
        spans.append(Span(start, stop, share, blocks))
    return spans
