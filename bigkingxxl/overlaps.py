"""How much the cells of two sets overlap, as pairs: computed once, used by many.

Two runs share pixels where one of them begins within the other: searching for beginnings alone
finds every pair that overlaps and none that does not, whatever lies between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.errors import InputError
from bigkingxxl.instances import Instances

Int64 = NDArray[np.int64]


class Overlaps(NamedTuple):
    """The pairs of cells that share pixels, sorted by (first, second).

    Attributes:
        first, second: int64[K], the cells of each pair; pixels: int64[K], how many they share.
    """

    first: Int64
    second: Int64
    pixels: Int64


class _Runs(NamedTuple):
    """The runs of a set, sorted by where they begin.

    Attributes:
        start, stop: int64[R], first flat position, and the one after the last; owner: int64[R].
    """

    start: Int64
    stop: Int64
    owner: Int64


def overlaps(first: Instances, second: Instances, *, disjoint: bool = False) -> Overlaps:
    """The overlapping pairs of two sets over the same image, found run by run, counted exactly.

    Args:
        disjoint: whether the cells of `second` must not share pixels with each other.

    Raises:
        ValueError: the two belong to images of different sizes.
        InputError: cells of `second` share a pixel where they must not.
    """
    if first.size != second.size:
        raise ValueError(f"cells of {first.size} and of {second.size} pixels cannot be compared")
    two = _sorted_runs(second)
    if disjoint:
        _check_apart(two.start, two.stop, second.size[1])
    if first is second:
        return _with_both_directions(first)
    one, columns = _sorted_runs(first), max(len(second), 1)
    within = _meetings(one, two, "left")
    # What begins at the same place has been found.
    around = ((a, b) for b, a in _meetings(two, one, "right"))
    return _summed(
        (
            (one.owner[a] * columns + two.owner[b], _shared(one, two, a, b))
            for pairs in (within, around) for a, b in pairs
        ),
        columns,
    )  # fmt: skip


def overlaps_among(cells: Instances) -> Overlaps:
    """The overlapping pairs of one set, each once, `first` less than `second`."""
    runs, columns = _sorted_runs(cells), max(len(cells), 1)

    def found() -> Iterator[tuple[Int64, Int64]]:
        for a, b in _later(runs):
            low = np.minimum(runs.owner[a], runs.owner[b])
            high = np.maximum(runs.owner[a], runs.owner[b])
            yield low * columns + high, _shared(runs, runs, a, b)

    return _summed(found(), columns)


def collisions(cells: Instances) -> int:
    """How many pairs of runs of one set share pixels: what comparing its cells costs."""
    runs = _sorted_runs(cells)
    return int(_later_counts(runs).sum())


def _with_both_directions(cells: Instances) -> Overlaps:
    """All pairs of a set with itself, in both directions, each cell with itself as well."""
    among, areas = overlaps_among(cells), cells.areas()
    own = np.flatnonzero(areas)
    first = np.concatenate((among.first, among.second, own))
    second = np.concatenate((among.second, among.first, own))
    order = np.lexsort((second, first))
    pixels = np.concatenate((among.pixels, among.pixels, areas[own]))
    return Overlaps(first[order], second[order], pixels[order])


def _sorted_runs(cells: Instances) -> _Runs:
    row = cells.runs[:, 0].astype(np.int64) * cells.size[1]
    start = row + cells.runs[:, 1]
    order = np.argsort(start, kind="stable")
    row += cells.runs[:, 2]
    return _Runs(start[order], row[order], cells.run_owner[order])


def _check_apart(start: Int64, stop: Int64, width: int) -> None:
    """Refuse sorted flat runs of which two share a pixel."""
    clash = np.flatnonzero(start[1:] < stop[:-1])
    if len(clash):
        row, col = divmod(int(start[clash[0] + 1]), width)
        raise InputError(f"cells overlap at row {row}, column {col}, expected disjoint ones")


def _meetings(one: _Runs, two: _Runs, side: str) -> Iterator[tuple[Int64, Int64]]:
    """Indices of runs of `one`, and of runs of `two` that begin within them, block by block.

    Args:
        side: 'left' counts those that begin where the run begins, 'right' does not.
    """
    low = np.searchsorted(two.start, one.start, side=side)  # type: ignore[call-overload]
    high = np.searchsorted(two.start, one.stop, side="left")
    yield from _expanded(low, np.maximum(high - low, 0))


def _later(runs: _Runs) -> Iterator[tuple[Int64, Int64]]:
    """Indices of runs, and of those after them in the same set that begin within them."""
    yield from _expanded(np.arange(1, len(runs.start) + 1), _later_counts(runs))


def _later_counts(runs: _Runs) -> Int64:
    counts: Int64 = np.searchsorted(runs.start, runs.stop, side="left")
    counts -= np.arange(1, len(runs.start) + 1)
    return counts


def _expanded(low: Int64, counts: Int64) -> Iterator[tuple[Int64, Int64]]:
    some = np.flatnonzero(counts)
    low, counts = low[some], counts[some]
    for block, _ in rle.blocks(counts):
        yield np.repeat(some[block], counts[block]), rle.expand(low[block], counts[block])


def _shared(one: _Runs, two: _Runs, a: Int64, b: Int64) -> Int64:
    """int64[K]: pixels that each pair of runs shares."""
    return np.minimum(one.stop[a], two.stop[b]) - np.maximum(one.start[a], two.start[b])


def _summed(parts: Iterator[tuple[Int64, Int64]], columns: int) -> Overlaps:
    """The pixels of all runs of each pair, summed up part by part."""
    pairs, pixels = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for key, shared in parts:
        own, total = _by_key(key, shared)
        pairs.append(own)
        pixels.append(total)
    pair, total = _by_key(np.concatenate(pairs), np.concatenate(pixels))
    first, second = np.divmod(pair, columns)
    return Overlaps(first, second, total)


def _by_key(key: Int64, values: Int64) -> tuple[Int64, Int64]:
    """The different keys, ascending, and the sum of the values of each."""
    if not len(key):
        return key, values
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    return key[starts], np.add.reduceat(values[order], starts)


def iou_pairs(first: Instances, second: Instances) -> tuple[Int64, Int64, NDArray[np.float64]]:
    """The pairs that overlap, int64[K] each, and their intersection over union, float64[K].

    Raises:
        ValueError: the two belong to images of different sizes.
    """
    return _iou(overlaps(first, second), first.areas(), second.areas())


def iou_among(cells: Instances) -> tuple[Int64, Int64, NDArray[np.float64]]:
    """`iou_pairs` of one set: each pair once, the first less than the second."""
    areas = cells.areas()
    return _iou(overlaps_among(cells), areas, areas)


def _iou(
    pairs: Overlaps, first_areas: Int64, second_areas: Int64
) -> tuple[Int64, Int64, NDArray[np.float64]]:
    one, two, shared = pairs
    return one, two, shared / (first_areas[one] + second_areas[two] - shared)
