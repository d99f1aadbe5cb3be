"""The distances between the boundaries of paired cells.

Each pair of cells is drawn into a bitmap of its own, with as few words per row as possible; the
bitmaps follow one another. Shifting the words finds the neighbours of all boundary pixels of all
pairs at once. Pixels without a neighbour within a few pixels are looked up row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.instances import Instances

Int64 = NDArray[np.int64]
Words = NDArray[Any]  # uint32 or uint64; the lowest bit is the first pixel
Float64 = NDArray[np.float64]
NEAR = 2  # pixels: rows and columns within which neighbours are found by shifting
SQUARES = np.array([0, 1, 2, 4, 5, 8])  # all squared distances within it
PERCENT = 95
FAR = 1 << 24  # distance of pairs along the third axis of the tree, larger than any image
NARROW, WIDE = 32, 64  # pixels of a word; rows of several words consist of wide ones
BYTES_AT_ONCE = 1 << 18  # of the bitmaps of one cell per pair
EMPTY = 1 << 62  # squared distance to a row without pixels
PIXELS_AT_ONCE = 1 << 12  # pixels times rows of a step


class BoundaryDistances(NamedTuple):
    """Boundary distances of each pair of cells, in pixels.

    Attributes:
        mean: float64[L], the mean distance of the boundary pixels of both cells to the other
            boundary.
        high: float64[L], the 95th percentile of these distances.
    """

    mean: Float64
    high: Float64


class Side(NamedTuple):
    """One cell of each pair.

    Attributes:
        cells: A set that contains them.
        chosen: int64[L], the cell of each pair; all have pixels.
    """

    cells: Instances
    chosen: Int64


def boundary_distances(first: Side, second: Side) -> BoundaryDistances:
    """Compute the distances between the boundaries of each pair of cells, in both directions.

    A boundary pixel has a pixel above, below, left or right of it that does not belong to the cell.

    Args:
        first: One cell of each pair.
        second: The other cell of each pair, from the same image.
    """
    one, two = (side.cells.boxes().take(side.chosen, axis=0) for side in (first, second))
    low = np.minimum(one[:, :2], two[:, :2]).astype(np.int64)
    height, width = (np.maximum(one[:, 2:], two[:, 2:]) - low).T
    result = BoundaryDistances(np.zeros(len(low)), np.zeros(len(low)))
    for part, bits, words in _parts(height, width):
        starts = rle.split_points((height[part] + NEAR) * words)
        frames = _Frames(low[part], height[part], bits, words, starts)
        sides = [Side(side.cells, side.chosen[part]) for side in (first, second)]
        result.mean[part], result.high[part] = _distances(sides, frames)
    return result


def _parts(height: Int64, width: Int64) -> Iterator[tuple[Int64, int, int]]:
    """Yield the pairs in parts of equal layout with a limited number of bytes, or one pair.

    Yields:
        The pairs, the bits per word and the words per row.
    """
    # In rows of several words, pixels that are shifted out of a row enter the margin of the next.
    words = np.where(width <= WIDE, 1, -(-(width + NEAR) // WIDE))
    layout = np.where(width <= NARROW, 0, words)
    for each in np.unique(layout).tolist():
        some = np.flatnonzero(layout == each)
        bits, count = (WIDE, each) if each else (NARROW, 1)
        part = np.cumsum((height[some] + NEAR) * count * (bits // 8)) // BYTES_AT_ONCE
        for group in np.split(some, np.flatnonzero(np.diff(part)) + 1):
            yield group, bits, count


class _Frames(NamedTuple):
    """The layout of the bitmaps of some pairs; `NEAR` empty rows follow each bitmap.

    Attributes:
        low: int64[L, 2], the first row and column of the image in each bitmap.
        height: int64[L], the number of rows.
        bits: The bits per word.
        width: The words per row.
        starts: int64[L + 1], the first word of each pair, and the end.
    """

    low: Int64
    height: Int64
    bits: int
    width: int
    starts: Int64

    def twice(self) -> _Frames:
        """Return the layout of two bitmaps per pair: all first ones, then all second ones."""
        starts = np.append(self.starts[:-1], self.starts + self.starts[-1])
        return self._replace(
            low=np.tile(self.low, (2, 1)), height=np.tile(self.height, 2), starts=starts
        )

    def counted(self, counts: NDArray[np.uint8]) -> Int64:
        """Sum the counts of the words of each pair, int64[L]."""
        return np.add.reduceat(counts, self.starts[:-1], dtype=np.int64)

    def painted(self, side: Side) -> Words:
        """Draw one cell per pair into the bitmaps."""
        splits = side.cells.splits
        first = splits.take(side.chosen)
        counts = splits.take(side.chosen + 1) - first
        runs = side.cells.runs.take(rle.expand(first, counts), axis=0)
        shift = np.repeat(self.low[:, 1], counts)
        base = np.repeat(self.starts[:-1] - self.low[:, 0] * self.width, counts)
        base += runs[:, 0] * np.int64(self.width)
        begin, end = runs[:, 1] - shift, runs[:, 2] - shift
        kind = np.dtype(f"u{self.bits // 8}")
        result: Words = np.zeros(self.starts[-1], kind)
        full = ~result[:1]
        for place, low, high in self._by_word(base, begin, end):
            ones = full >> (self.bits - (high - low)).astype(kind)
            # The runs of a cell share no pixel: their sum is their union.
            np.add.at(result, place, ones << low.astype(kind))
        return result

    def _by_word(
        self, base: Int64, begin: Int64, end: Int64
    ) -> Iterator[tuple[Int64, Int64, Int64]]:
        """Yield the word, the first bit and the end of runs, split at the ends of words.

        Args:
            base: int64[R], the first word of each run's row.
            begin: int64[R], the first column.
            end: int64[R], the column after the last.
        """
        if self.width == 1:
            yield base, begin, end
            return
        while len(begin):
            word = begin // self.bits
            first = word * self.bits
            stop = np.minimum(end, first + self.bits)
            yield base + word, begin - first, stop - first
            more = stop < end
            begin, end, base = stop[more], end[more], base[more]

    def pixels(self, words: Words) -> tuple[Int64, Int64, Int64]:
        """Return the pair, row and column of each pixel that is set, int64[P] each."""
        pair = np.repeat(np.arange(len(self.low)), self.counted(np.bitwise_count(words)))
        at = np.flatnonzero(words != 0)
        small = words[at].astype(words.dtype.newbyteorder("<")).view(np.uint8)
        bit = np.flatnonzero(np.unpackbits(small, bitorder="little").view(bool))
        place = at[bit // self.bits]
        row, word = np.divmod(place - self.starts[pair], self.width)
        return pair, row, word * self.bits + bit % self.bits


def _distances(sides: list[Side], frames: _Frames) -> BoundaryDistances:
    edges = [_edge(frames.painted(side), frames.width) for side in sides]
    sizes = frames.counted(np.bitwise_count(edges[0]) + np.bitwise_count(edges[1]))
    left = [edge.copy() for edge in edges]
    counts = _met(edges, left, frames)
    owner, square = _far(frames, left, edges[::-1])
    return _summarised(sizes, counts, owner, square)


def _edge(words: Words, width: int) -> Words:
    """Return the boundary pixels of bitmaps."""
    inside = words & _aside(words, 1, width) & _aside(words, -1, width)
    inside[width:] &= words[:-width]
    inside[:-width] &= words[width:]
    inside[:width] = inside[-width:] = 0  # the first row has nothing above
    return words & ~inside


def _aside(words: Words, columns: int, width: int) -> Words:
    """Shift all pixels to the right, or to the left if `columns` is negative."""
    kind, bits = words.dtype.type, 8 * words.itemsize
    if columns == 0:
        return words
    if columns > 0:
        moved: Words = words << kind(columns)
        if width > 1:
            moved[1:] |= words[:-1] >> kind(bits - columns)
        return moved
    moved = words >> kind(-columns)
    if width > 1:
        moved[:-1] |= words[1:] << kind(bits + columns)
    return moved


def _met(edges: list[Words], left: list[Words], frames: _Frames) -> Int64:
    """Count the boundary pixels at each distance, int64[K, L], and remove them from `left`.

    Args:
        edges: The boundary pixels of both cells.
        left: A copy of them.
        frames: The layout.
    """
    found = np.zeros((len(SQUARES), frames.starts[-1]), np.uint8)
    for away, other in zip(left, reversed(edges), strict=True):
        # All pixels at 0, 1, 2 columns to the left or right of a boundary pixel.
        beside = [
            _aside(other, columns, frames.width) | _aside(other, -columns, frames.width)
            for columns in range(NEAR + 1)
        ]
        for place, square in enumerate(SQUARES.tolist()):
            met = away & _around(beside, square, frames.width)
            np.bitwise_xor(away, met, out=away)
            found[place] += np.bitwise_count(met)
    return np.stack([frames.counted(count) for count in found])


def _around(beside: list[Words], square: int, width: int) -> Words:
    """Return all pixels at a squared distance from a boundary pixel."""
    found = np.zeros_like(beside[0])
    for columns, words in enumerate(beside):
        rows = round(max(square - columns * columns, 0) ** 0.5)
        if rows * rows + columns * columns != square:
            continue
        if rows == 0:
            found |= words
        else:
            found[rows * width :] |= words[: -rows * width]
            found[: -rows * width] |= words[rows * width :]
    return found


def _far(frames: _Frames, away: list[Words], other: list[Words]) -> tuple[Int64, Int64]:
    """Return the pair and the squared distance of pixels to the boundary of the other cell."""
    # The bitmaps of both directions follow one another, as if they belonged to other pairs.
    both = frames.twice()
    pair, row, column = both.pixels(np.concatenate(away))
    look_up = _by_rows if frames.width == 1 else _by_tree
    return pair % len(frames.low), look_up(both, np.concatenate(other), pair, row, column)


def _by_rows(frames: _Frames, words: Words, pair: Int64, row: Int64, column: Int64) -> Int64:
    """Compute the squared distances of pixels to bitmaps with one word per row."""
    kind, bits = words.dtype.type, frames.bits
    backward = _reversed(words)
    right, left = column.astype(kind), (bits - 1 - column).astype(kind)
    first = frames.starts[pair]
    place, last = first + row, first + frames.height[pair] - 1
    # Indexed by the number of columns; for a row without pixels that is the number of its bits.
    squares = np.append(np.arange(bits) ** 2, EMPTY)
    result = np.full(len(pair), EMPTY)
    some, near = np.arange(len(pair)), 0
    while len(some):
        far = near + max(1, PIXELS_AT_ONCE // len(some))
        best = result[some]
        for sign in (1, -1):
            rows = np.arange(near, far)[:, None] * sign
            # Beyond the last row the last one is used again, at a distance that is too large.
            at = np.minimum(np.maximum(place + rows, first), last)
            either = (words.take(at) >> right) | (backward.take(at) >> left)
            columns = _trailing_zeros(either)
            best = np.minimum(best, (squares.take(columns) + rows * rows).min(axis=0))
        result[some], near = best, far
        more = np.flatnonzero(best > near * near)
        some, first, last, place, right, left = (
            each.take(more) for each in (some, first, last, place, right, left)
        )
    return result


def _trailing_zeros(words: Words) -> NDArray[np.uint8]:
    """Count the bits below the lowest one that is set; all bits if none is."""
    found: NDArray[np.uint8] = np.bitwise_count(~words & (words - words.dtype.type(1)))
    return found


def _reversed(words: Words) -> Words:
    """Reverse the order of the bits of each word."""
    kind, full = words.dtype.type, int(~words.dtype.type(0))
    words = words.byteswap()
    for bits, ones in ((4, 0x0F), (2, 0x33), (1, 0x55)):
        mask, step = kind(full // 0xFF * ones), kind(bits)
        words = (words >> step & mask) | ((words & mask) << step)
    return words


def _by_tree(frames: _Frames, other: Words, pair: Int64, row: Int64, column: Int64) -> Int64:
    """Compute the squared distances of pixels with a k-d tree with one level per pair."""
    from scipy.spatial import cKDTree

    owner, *there = frames.pixels(other)
    asked = np.zeros(len(frames.low), bool)
    asked[pair] = True
    some = asked[owner]
    points = np.stack((*there, owner * FAR), axis=1)[some].astype(np.float64)
    tree = cKDTree(points, compact_nodes=False, balanced_tree=False)
    distance, _ = tree.query(np.stack((row, column, pair * FAR), axis=1).astype(np.float64))
    squares: Int64 = np.rint(distance**2).astype(np.int64)
    return squares


def _summarised(sizes: Int64, counts: Int64, owner: Int64, far: Int64) -> BoundaryDistances:
    """Compute the mean and the 95th percentile of the distances of each pair.

    Args:
        sizes: int64[L], the number of boundary pixels of both cells.
        counts: int64[K, L], the number of pixels at each distance in `SQUARES`.
        owner: int64[P], the pair of each remaining pixel.
        far: int64[P], its squared distance.
    """
    distance = np.sqrt(SQUARES)
    mean = (distance @ counts + np.bincount(owner, np.sqrt(far), len(sizes))) / sizes
    up_to = np.cumsum(counts, axis=0)
    rank = (sizes - 1) * PERCENT / 100
    low = np.floor(rank).astype(np.int64)
    high = np.minimum(low + 1, sizes - 1)
    farther = _Farther(owner, far, up_to[-1], high)

    def ranked(place: Int64) -> Float64:
        values: Float64 = distance.take((up_to <= place).sum(axis=0), mode="clip")
        farther.put(values, place)
        return values

    lower, upper = ranked(low), ranked(high)
    return BoundaryDistances(mean, lower + (rank - low) * (upper - lower))


class _Farther:
    """The sorted distances of the far pixels of those pairs whose percentile needs them."""

    def __init__(self, owner: Int64, far: Int64, near: Int64, high: Int64) -> None:
        """Sort the distances.

        Args:
            owner: int64[P], the pair of each pixel.
            far: int64[P], its squared distance.
            near: int64[L], the number of nearer pixels of each pair.
            high: int64[L], the largest rank that will be requested.
        """
        some = np.flatnonzero((high >= near)[owner])
        owner = owner[some]
        # Sorting one number is ten times as fast as sorting by two. It has 63 bits at most: so few
        # bytes hold less than 2^15 pairs.
        self.distances = np.sqrt(np.sort(owner * FAR**2 + far[some]) % FAR**2)
        self.first = rle.split_points(np.bincount(owner, minlength=len(near)))[:-1]
        self.near = near

    def put(self, values: Float64, place: Int64) -> None:
        """Set the values of the pairs whose rank is among these distances."""
        beyond = np.flatnonzero(place >= self.near)
        at = self.first[beyond] + place[beyond] - self.near[beyond]
        values[beyond] = self.distances[at]
