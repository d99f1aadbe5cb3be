"""The tiles that a network sees of an image: one lattice, of which a block takes what it touches.

Maps depend on the tile that they were seen in. So all blocks of a large image share the tiles of
one lattice, and blend them with the same weights: where two blocks see the same place, their maps
are the same. Over the seams between blocks lie narrow tiles of their own, which hold the margins of
both sides, so that blocks have no other tiles in common.
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
SMALLEST_TILE = 256  # a network sees less well in less context than it was trained with


class TileSize(NamedTuple):
    """How large tiles may be, in network pixels.

    Attributes:
        largest: side; overlap: of neighbours, at least; stride: sides are multiples of it.
    """

    largest: int
    overlap: int
    stride: int

    def side(self, length: int) -> int:
        """The smallest side with which as few tiles cover a length as with the largest."""
        needed = max(even_tile(length, self.largest, self.overlap), SMALLEST_TILE)
        return min(self.largest, multiple(needed, self.stride))


class Span(NamedTuple):
    """A tile's place along one side of the image, which it may exceed.

    Attributes:
        start, stop: in network pixels; weight: float32[stop - start], which with those of the other
            tiles adds to 1 at every pixel of the image.
    """

    start: int
    stop: int
    weight: Float32


class Tile(NamedTuple):
    """A tile: its place along the rows and along the columns."""

    rows: Span
    cols: Span

    @property
    def window(self) -> Window:
        """In network pixels; it may exceed the image."""
        return Window(self.rows.start, self.cols.start, self.rows.stop, self.cols.stop)

    def add(self, maps: Float32, total: Float32, place: Window) -> None:
        """Add its maps float32[K, h, w], weighted, to those of a window of the image."""
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
class Lattice:
    """All tiles of an image, those of one size after the other.

    Attributes:
        rows, cols: the tiles along each side, in order.
    """

    rows: Sequence[Span]
    cols: Sequence[Span]

    @classmethod
    def of(
        cls, size: tuple[int, int], tile: TileSize, part: Part | None = None, reach: int = 0
    ) -> Lattice:
        """That of an image of (H, W) network pixels.

        Args:
            part: a block of it, where it is seen in blocks.
            reach: network pixels on either side of a seam that both blocks see.
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
        """The tiles with pixels in a window, in lists of tiles of one size."""
        rows, cols = self._spans(window)
        # Sums are the same to the last bit only where their parts are added in the same order.
        for height in sorted({each.stop - each.start for each in rows}):
            for width in sorted({each.stop - each.start for each in cols}):
                yield [
                    Tile(row, col)
                    for row in rows if row.stop - row.start == height
                    for col in cols if col.stop - col.start == width
                ]  # fmt: skip

    def around(self, window: Window) -> Window:
        """The smallest window, which may exceed the image, of all tiles that touch one."""
        rows, cols = self._spans(window)
        return Window(
            min(each.start for each in rows), min(each.start for each in cols),
            max(each.stop for each in rows), max(each.stop for each in cols),
        )  # fmt: skip

    def _spans(self, window: Window) -> tuple[list[Span], list[Span]]:
        """The rows and columns of tiles with pixels in a window."""
        return (
            [each for each in self.rows if each.start < window.row1 and each.stop > window.row0],
            [each for each in self.cols if each.start < window.col1 and each.stop > window.col0],
        )


def _places(length: int, tile: TileSize, seams: Sequence[int], reach: int) -> list[tuple[int, int]]:
    """Start and stop of each tile along a side: over the seams, and between them."""
    over = multiple(2 * (reach + tile.overlap), tile.stride)
    before = over // 2
    stretches = [(seam - before, seam - before + over) for seam in seams]
    edges = [-before, *seams, length + before]
    for left, right in pairwise(edges):
        # A tile over a seam and the next one share the overlap.
        first = left + before - (tile.overlap if left >= 0 else 0)
        last = right - before + (tile.overlap if right <= length else 0)
        if last > first:
            stretches.append((first, last))
    found = []
    for first, last in stretches:
        side = tile.side(last - first)
        starts = tile_starts(last - first, side, tile.overlap)
        found += [(first + start, first + start + side) for start in starts]
    return sorted(found)


def _weighted(places: Sequence[tuple[int, int]], length: int, tile: TileSize) -> list[Span]:
    """Spans whose weights fall linearly over the overlap towards their ends, never to 0."""
    total = np.zeros(length)
    weights = []
    for start, stop in places:
        inside = np.arange(stop - start)
        distance = np.minimum(inside, inside[::-1]) + 1.0
        weights.append(np.minimum(1, distance / (tile.overlap + 1)))
        low, high = max(start, 0), min(stop, length)
        total[low:high] += weights[-1][low - start : high - start]
    spans = []
    for (start, stop), weight in zip(places, weights, strict=True):
        low, high = max(start, 0), min(stop, length)
        share = np.zeros(stop - start, np.float32)
        share[low - start : high - start] = weight[low - start : high - start] / total[low:high]
        spans.append(Span(start, stop, share))
    return spans
