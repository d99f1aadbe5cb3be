"""The distances between the boundaries of paired cells.

Each pair of cells is drawn into a bitmap of its own, with 64 pixels of a row per word; the bitmaps
follow one another. Shifting the words finds the neighbours of all boundary pixels of all pairs at
once. Pixels without a neighbour within a few pixels are looked up in a k-d tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.instances import Instances

Int64 = NDArray[np.int64]
Words = NDArray[np.uint64]
Float64 = NDArray[np.float64]
NEAR = 4  # pixels: the largest distance that is found by shifting
SQUARES = np.array([0, 1, 2, 4, 5, 8, 9, 10, 13, 16])  # all squared distances up to it
CLOSE = 6  # the number of these that are tried for all pairs; the rest only where needed
PERCENT = 95
FAR = 1 << 24  # distance of pairs along the third axis of the tree, larger than any image
BITS = 64
WORDS_AT_ONCE = 1 << 17


class BoundaryDistances(NamedTuple):
    """Boundary distances of each pair of cells, in pixels.

    Attributes:
        mean: float64[L], the mean distance of the boundary pixels of both cells to the other
            boundary.
        high: float64[L], the 95th percentile of these distances.
    """

    mean: Float64
    high: Float64


def boundary_distances(first: Instances, second: Instances) -> BoundaryDistances:
    """Compute the distances between cell i of one set and cell i of the other, in both directions.

    A boundary pixel has a pixel above, below, left or right of it that does not belong to the cell.

    Args:
        first: Cells, all with pixels.
        second: As many cells; those of a pair belong to the same image.
    """
    one, two = first.boxes().astype(np.int64), second.boxes().astype(np.int64)
    low, high = np.minimum(one[:, :2], two[:, :2]), np.maximum(one[:, 2:], two[:, 2:])
    sides: Int64 = high - low + np.array([NEAR, 2 * NEAR])
    words = -(-sides[:, 1] // BITS)
    result = BoundaryDistances(np.zeros(len(first)), np.zeros(len(first)))
    for part in _parts(sides[:, 0] * words, words):
        frames = _Frames(
            low[part], int(words[part[0]]), rle.split_points((sides[:, 0] * words)[part])
        )
        result.mean[part], result.high[part] = _distances(
            first.take(part), second.take(part), frames
        )
    return result


def _parts(sizes: Int64, words: Int64) -> Iterator[Int64]:
    """Yield the pairs in parts of equal width with a limited number of words, or one pair."""
    for width in np.unique(words):
        some = np.flatnonzero(words == width)
        part = np.cumsum(sizes[some]) // WORDS_AT_ONCE
        yield from np.split(some, np.flatnonzero(np.diff(part)) + 1)


class _Frames(NamedTuple):
    """The layout of the bitmaps of some pairs.

    Rows start and end with a margin of `NEAR` pixels, and each pair is followed by as many rows.

    Attributes:
        low: int64[L, 2], row and column of the image where each bitmap begins, without the margin.
        width: The number of words per row.
        starts: int64[L + 1], the first word of each pair, and the end.
    """

    low: Int64
    width: int
    starts: Int64

    def take(self, pairs: Int64) -> _Frames:
        """Select pairs."""
        sizes = np.diff(self.starts)[pairs]
        return _Frames(self.low[pairs], self.width, rle.split_points(sizes))

    def words_of(self, words: Words, pairs: Int64) -> Words:
        """Return the words of some pairs."""
        return rle.gather(words, self.starts[pairs], np.diff(self.starts)[pairs])

    def counted(self, words: Words) -> Int64:
        """Count the pixels of each pair that are set, int64[L]."""
        return np.add.reduceat(np.bitwise_count(words), self.starts[:-1], dtype=np.int64)

    def painted(self, cells: Instances) -> Words:
        """Draw one cell per pair into the bitmaps."""
        owner = cells.run_owner
        row, begin, end = cells.runs.astype(np.int64).T
        base = self.starts[owner] + (row - self.low[owner, 0]) * self.width
        shift = NEAR - self.low[owner, 1]
        begin, end = begin + shift, end + shift
        result = np.zeros(self.starts[-1], np.uint64)
        while len(begin):
            word = begin >> 6
            stop = np.minimum(end, (word + 1) << 6)
            ones = ~np.uint64(0) >> (BITS - (stop - begin)).view(np.uint64)
            # The runs of a cell share no pixel, so their sum is their union.
            np.add.at(result, base + word, ones << (begin & (BITS - 1)).view(np.uint64))
            more = stop < end
            begin, end, base = stop[more], end[more], base[more]
        return result

    def pixels(self, words: Words) -> tuple[Int64, Int64, Int64]:
        """Return the pair, row and column of each pixel that is set, int64[P] each."""
        at = np.flatnonzero(words != 0)
        bits = np.unpackbits(
            words[at].astype("<u8").view(np.uint8).reshape(-1, 8), axis=1, bitorder="little"
        )
        place, bit = np.nonzero(bits.view(bool))
        place = at[place]
        pair = np.searchsorted(self.starts, place, side="right") - 1
        row, word = np.divmod(place - self.starts[pair], self.width)
        return pair, row, word * BITS + bit


def _distances(first: Instances, second: Instances, frames: _Frames) -> BoundaryDistances:
    edges = [_edge(frames.painted(cells), frames.width) for cells in (first, second)]
    sizes = frames.counted(edges[0]) + frames.counted(edges[1])
    left = [edge.copy() for edge in edges]
    counts = np.zeros((len(first), len(SQUARES)), np.int64)
    counts[:, :CLOSE] = _met(edges, left, frames, SQUARES[:CLOSE])
    owners, squares = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    some = np.flatnonzero(counts.sum(axis=1) < sizes)
    if len(some):
        edges, left = ([frames.words_of(each, some) for each in of] for of in (edges, left))
        frames = frames.take(some)
        counts[some, CLOSE:] = _met(edges, left, frames, SQUARES[CLOSE:])
        for away, other in zip(left, reversed(edges), strict=True):
            if away.any():
                owner, square = _far(frames, away, other)
                owners.append(some[owner])
                squares.append(square)
    return _summarised(sizes, counts, np.concatenate(owners), np.concatenate(squares))


def _edge(words: Words, width: int) -> Words:
    """Return the boundary pixels of bitmaps."""
    inside = words & _aside(words, 1, width) & _aside(words, -1, width)
    inside[width:] &= words[:-width]
    inside[:-width] &= words[width:]
    inside[:width] = inside[-width:] = 0  # there is nothing above the first row
    return words & ~inside


def _aside(words: Words, columns: int, width: int) -> Words:
    """Shift all pixels to the right, or to the left if `columns` is negative."""
    if columns == 0:
        return words
    if columns > 0:
        moved: Words = words << np.uint64(columns)
        if width > 1:
            moved[1:] |= words[:-1] >> np.uint64(BITS - columns)
        return moved
    moved = words >> np.uint64(-columns)
    if width > 1:
        moved[:-1] |= words[1:] << np.uint64(BITS + columns)
    return moved


def _met(edges: list[Words], left: list[Words], frames: _Frames, squares: Int64) -> Int64:
    """Count the boundary pixels at each distance, int64[L, K], and remove them from `left`.

    Args:
        edges: The boundary pixels of both cells.
        left: Those without a closer neighbour.
        frames: The layout of the bitmaps.
        squares: int64[K], squared distances in ascending order.
    """
    counts = np.zeros((len(frames.low), len(squares)), np.int64)
    for away, other in zip(left, reversed(edges), strict=True):
        # All pixels that are this many columns to the left or right of a boundary pixel.
        beside = [
            _aside(other, columns, frames.width) | _aside(other, -columns, frames.width)
            for columns in range(int(np.sqrt(squares[-1])) + 1)
        ]
        for place, square in enumerate(squares.tolist()):
            met = away & _around(beside, square, frames.width)
            np.bitwise_xor(away, met, out=away)
            counts[:, place] += frames.counted(met)
    return counts


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


def _far(frames: _Frames, away: Words, other: Words) -> tuple[Int64, Int64]:
    """Return pair and squared distance of pixels from a k-d tree with one level per pair."""
    from scipy.spatial import cKDTree

    asked = np.flatnonzero(frames.counted(away) > 0)
    other = frames.words_of(other, asked)
    pair, *place = frames.pixels(away)
    owner, *there = frames.take(asked).pixels(other)
    points = np.stack((*there, asked[owner] * FAR), axis=1).astype(np.float64)
    tree = cKDTree(points, compact_nodes=False, balanced_tree=False)
    distance, _ = tree.query(np.stack((*place, pair * FAR), axis=1).astype(np.float64))
    return pair, np.rint(distance**2).astype(np.int64)


def _summarised(sizes: Int64, counts: Int64, owner: Int64, far: Int64) -> BoundaryDistances:
    """Compute the mean and the 95th percentile of the distances of each pair.

    Args:
        sizes: int64[L], the number of boundary pixels of both cells.
        counts: int64[L, K], the number at each distance of `SQUARES`.
        owner: int64[P], the pair of each of the other pixels.
        far: int64[P], the squared distance of each of them.
    """
    distance = np.sqrt(SQUARES)
    mean = (counts @ distance + np.bincount(owner, np.sqrt(far), len(sizes))) / sizes
    up_to = np.cumsum(counts, axis=1)
    near = up_to[:, -1]
    farther = np.sqrt(far[np.lexsort((far, owner))])
    first = rle.split_points(np.bincount(owner, minlength=len(sizes)))[:-1]

    def ranked(rank: Int64) -> Float64:
        place = (up_to <= rank[:, None]).sum(axis=1)
        values: Float64 = distance[np.minimum(place, len(distance) - 1)]
        beyond = np.flatnonzero(rank >= near)
        values[beyond] = farther[first[beyond] + rank[beyond] - near[beyond]]
        return values

    rank = (sizes - 1) * PERCENT / 100
    low = np.floor(rank).astype(np.int64)
    lower, upper = ranked(low), ranked(np.minimum(low + 1, sizes - 1))
    return BoundaryDistances(mean, lower + (rank - low) * (upper - lower))
