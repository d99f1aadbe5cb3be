"""Overlaps between two sets of cells, as sparse pairs that all metrics share.

Two runs share pixels if and only if one of them begins within the other. It is therefore enough to
search for the beginnings of runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.errors import InputError
from bigkingxxl.instances import Instances

Int64 = NDArray[np.int64]
DENSE_PER_RUN = 32  # size limit of the dense contingency table, in entries per run; beyond it, sort


class Overlaps(NamedTuple):
    """The pairs of cells that share pixels, sorted by (first, second).

    Attributes:
        first: int64[K], the cell of the first set.
        second: int64[K], the cell of the second set.
        pixels: int64[K], the number of shared pixels.
    """

    first: Int64
    second: Int64
    pixels: Int64


class SortedRuns(NamedTuple):
    """The runs of a set of cells, sorted by their start.

    Attributes:
        start: int64[R], the first flat position.
        stop: int64[R], one past the last flat position.
        owner: int64[R], the cell of each run.
    """

    start: Int64
    stop: Int64
    owner: Int64


def overlaps(first: Instances, second: Instances, *, disjoint: bool = False) -> Overlaps:
    """Find the overlapping pairs of two sets of cells in the same image.

    Args:
        first: The first set.
        second: The second set.
        disjoint: Whether to refuse cells of `second` that share pixels with each other.

    Raises:
        ValueError: The two images differ in size.
        InputError: `disjoint` is set and cells of `second` share a pixel.
    """
    if first.size != second.size:
        raise ValueError(f"cells of {first.size} and of {second.size} pixels cannot be compared")
    two = sorted_runs(second)
    if disjoint:
        check_disjoint(two, second.size[1])
    if first is second:
        return _with_both_directions(first)
    return overlaps_of_runs(sorted_runs(first), two, len(second))


def overlaps_of_runs(one: SortedRuns, two: SortedRuns, count: int) -> Overlaps:
    """Find the overlapping pairs of two sets of runs; the second set has `count` cells."""
    columns = max(count, 1)
    low = np.searchsorted(two.start, one.start, side="left")
    # The number of runs of `one` that begin at or before the start of run j of `two` equals the
    # number that have no more than j runs before them, so that one search is enough. Runs that
    # begin at the same position are found in the first case.
    after = np.cumsum(np.bincount(low, minlength=len(two.start) + 1))[: len(two.start)]
    within = _meetings(one, two, low)
    around = ((a, b) for b, a in _meetings(two, one, after))
    return _summed(
        (
            (one.owner[a] * columns + two.owner[b], _shared(one, two, a, b))
            for pairs in (within, around) for a, b in pairs
        ),
        columns,
    )  # fmt: skip


def overlaps_among(cells: Instances) -> Overlaps:
    """Find the overlapping pairs of cells within one set; each pair once, with first < second."""
    runs, columns = sorted_runs(cells), max(len(cells), 1)

    def found() -> Iterator[tuple[Int64, Int64]]:
        for a, b in _later(runs):
            low = np.minimum(runs.owner[a], runs.owner[b])
            high = np.maximum(runs.owner[a], runs.owner[b])
            yield low * columns + high, _shared(runs, runs, a, b)

    return _summed(found(), columns)


def adjacent_runs(cells: Instances, *, corners: bool = False) -> tuple[Int64, Int64]:
    """Find the pairs of touching runs within cells: the upper and the lower run, int64[K] each.

    Args:
        cells: The cells.
        corners: Whether runs that meet only at a corner count as touching.
    """
    height, width = cells.size
    row, start, stop = cells.runs.astype(np.int64).T
    # A common number line for all rows of all cells, with gaps that no run spans.
    line = (cells.run_owner * (height + 1) + row) * (width + 2)
    return rle.adjacent(line + start, line + stop, width + 2, corners=corners)


def connected_runs(cells: Instances) -> Int64:
    """Label the 4-connected parts of cells, int64[R]: the first run of the part of each run."""
    return rle.connected(len(cells.runs), *adjacent_runs(cells))


def collisions(cells: Instances) -> int:
    """Count the pairs of overlapping runs in a set: the cost of comparing its cells."""
    runs = sorted_runs(cells)
    return int(_later_counts(runs).sum())


def _with_both_directions(cells: Instances) -> Overlaps:
    """Return the overlapping pairs of a set with itself, in both directions, with (i, i)."""
    among, areas = overlaps_among(cells), cells.areas()
    own = np.flatnonzero(areas)
    first = np.concatenate((among.first, among.second, own))
    second = np.concatenate((among.second, among.first, own))
    order = np.lexsort((second, first))
    pixels = np.concatenate((among.pixels, among.pixels, areas[own]))
    return Overlaps(first[order], second[order], pixels[order])


def sorted_runs(cells: Instances) -> SortedRuns:
    """Sort the runs of a set by their start."""
    row = cells.runs[:, 0].astype(np.int64) * cells.size[1]
    start = row + cells.runs[:, 1]
    order = np.argsort(start, kind="stable")
    row += cells.runs[:, 2]
    return SortedRuns(start[order], row[order], cells.run_owner[order])


def first_clash(runs: SortedRuns) -> int | None:
    """Return the first flat position that two runs share, or None."""
    clash = np.flatnonzero(runs.start[1:] < runs.stop[:-1])
    return int(runs.start[clash[0] + 1]) if len(clash) else None


def check_disjoint(runs: SortedRuns, width: int) -> None:
    """Check that no two cells of a set share a pixel.

    Raises:
        InputError: Two cells share a pixel, which the message names.
    """
    clash = first_clash(runs)
    if clash is not None:
        row, col = divmod(clash, width)
        raise InputError(
            f"cells overlap at row {row}, column {col}, expected disjoint ones", found=(row, col)
        )


def _meetings(one: SortedRuns, two: SortedRuns, low: Int64) -> Iterator[tuple[Int64, Int64]]:
    """Yield, in blocks, the runs of `one` and the runs of `two` that begin within them.

    Args:
        one: The first set of runs.
        two: The second set of runs.
        low: int64[R], the first run of `two` that may begin within each run of `one`.
    """
    if not len(two.start):
        return
    some = np.flatnonzero((low < len(two.start)) & (two.start.take(low, mode="clip") < one.stop))
    high = np.searchsorted(two.start, one.stop[some], side="left")
    for a, b in _expanded(low[some], high - low[some]):
        yield some[a], b


def _later(runs: SortedRuns) -> Iterator[tuple[Int64, Int64]]:
    """Yield, in blocks, pairs of runs of one set where the second begins within the first."""
    yield from _expanded(np.arange(1, len(runs.start) + 1), _later_counts(runs))


def _later_counts(runs: SortedRuns) -> Int64:
    counts: Int64 = np.searchsorted(runs.start, runs.stop, side="left")
    counts -= np.arange(1, len(runs.start) + 1)
    return counts


def _expanded(low: Int64, counts: Int64) -> Iterator[tuple[Int64, Int64]]:
    some = np.flatnonzero(counts > 0)
    low, counts = low[some], counts[some]
    for block, _ in rle.blocks(counts):
        yield np.repeat(some[block], counts[block]), rle.expand(low[block], counts[block])


def _shared(one: SortedRuns, two: SortedRuns, a: Int64, b: Int64) -> Int64:
    """Count the pixels that each pair of runs shares, int64[K]."""
    return np.minimum(one.stop[a], two.stop[b]) - np.maximum(one.start[a], two.start[b])


def label_overlaps(first: NDArray[Any], second: NDArray[Any]) -> tuple[Overlaps, Int64, Int64]:
    """Find the overlapping pairs of two label maps [H, W] with 0 = background.

    Cells are numbered from 0 in the order of their labels; gaps between labels are closed.

    Returns:
        The pairs, and the areas of the cells in both maps, int64[N] and int64[M].

    Raises:
        InputError: A label is negative.
    """
    one, two = first.ravel(), second.ravel()
    begin = _changes(one, two)
    length = np.diff(begin, append=one.size)
    one, two = one[begin], two[begin]
    for labels in (one, two):
        if labels.min(initial=0) < 0:
            raise InputError(
                f"a label map has a label of {labels.min()}, expected 0 or more",
                found=int(labels.min()),
            )
    columns = int(two.max(initial=0)) + 1
    cells = (int(one.max(initial=0)) + 1) * columns
    if cells <= DENSE_PER_RUN * max(len(begin), 1):
        return _from_table(one, two, length, cells // columns, columns)
    one, one_areas = _closed(one, length)
    two, two_areas = _closed(two, length)
    pair, pixels = _by_key(one * (len(two_areas) + 1) + two, length)
    row, column = np.divmod(pair, len(two_areas) + 1)
    both = (row > 0) & (column > 0)
    return Overlaps(row[both] - 1, column[both] - 1, pixels[both]), one_areas, two_areas


def _changes(one: NDArray[Any], two: NDArray[Any]) -> Int64:
    """Return the positions where either of two flat label maps begins a new run, int64[R]."""
    new = np.ones(one.shape, bool)
    np.not_equal(one[1:], one[:-1], out=new[1:])
    new[1:] |= two[1:] != two[:-1]
    return np.flatnonzero(new)


def _from_table(
    one: NDArray[Any], two: NDArray[Any], length: Int64, rows: int, columns: int
) -> tuple[Overlaps, Int64, Int64]:
    """Compute pairs and areas from a dense contingency table that includes the background."""
    key = one.astype(np.int64) * columns + two
    table = np.bincount(key, length, rows * columns)
    # numpy finds the nonzero entries of a boolean array ten times as fast.
    pair = np.flatnonzero(table > 0)
    row, column = np.divmod(pair, columns)
    shared = table[pair]
    one_areas, two_areas = (
        np.bincount(place, shared, count)[1:].astype(np.int64)
        for place, count in ((row, rows), (column, columns))
    )
    both = (row > 0) & (column > 0)
    row, column, pixels = row[both] - 1, column[both] - 1, shared[both].astype(np.int64)
    for areas, place in ((one_areas, row), (two_areas, column)):
        if not areas.all():  # there are gaps between labels
            place[:] = (np.cumsum(areas > 0) - 1)[place]
    return Overlaps(row, column, pixels), one_areas[one_areas > 0], two_areas[two_areas > 0]


def _closed(labels: NDArray[Any], length: Int64) -> tuple[Int64, Int64]:
    """Renumber run labels to 1, 2, ... without gaps (0 = background); also return all areas."""
    names, place = np.unique(labels, return_inverse=True)
    areas = np.bincount(place, length, len(names)).astype(np.int64)
    background = int(names[0] == 0)
    return place + 1 - background, areas[background:]


def _summed(parts: Iterator[tuple[Int64, Int64]], columns: int) -> Overlaps:
    """Sum the shared pixels of each pair over all blocks."""
    pairs, pixels = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for key, shared in parts:
        own, total = _by_key(key, shared)
        pairs.append(own)
        pixels.append(total)
    pair, total = _by_key(np.concatenate(pairs), np.concatenate(pixels))
    first, second = np.divmod(pair, columns)
    return Overlaps(first, second, total)


def _by_key(key: Int64, values: Int64) -> tuple[Int64, Int64]:
    """Return the unique keys in ascending order and the sum of the (positive) values of each."""
    if not len(key):
        return key, values
    top = int(key.max()) + 1
    if top <= DENSE_PER_RUN * len(key):
        sums = np.bincount(key, values, top)
        found = np.flatnonzero(sums > 0)
        return found, sums[found].astype(np.int64)
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1) > 0)
    return key[starts], np.add.reduceat(values[order], starts)


def iou_pairs(first: Instances, second: Instances) -> tuple[Int64, Int64, NDArray[np.float64]]:
    """Compute the IoU of all overlapping pairs of two sets.

    Returns:
        The cells of each pair, int64[K] twice, and their IoU, float64[K].

    Raises:
        ValueError: The two images differ in size.
    """
    return _iou(overlaps(first, second), first.areas(), second.areas())


def iou_among(cells: Instances) -> tuple[Int64, Int64, NDArray[np.float64]]:
    """Compute the IoU of all overlapping pairs within one set; each pair once, first < second."""
    areas = cells.areas()
    return _iou(overlaps_among(cells), areas, areas)


def _iou(
    pairs: Overlaps, first_areas: Int64, second_areas: Int64
) -> tuple[Int64, Int64, NDArray[np.float64]]:
    one, two, shared = pairs
    return one, two, shared / (first_areas[one] + second_areas[two] - shared)
