"""Convert cells to polygons along pixel edges, and fill polygons.

The polygons are valid simple features (OGC): no ring touches itself, parts that meet only at a
corner are separate polygons, and holes belong to the part that contains them. Filling them restores
exactly the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import connected_runs

Int64 = NDArray[np.int64]
Ring = NDArray[np.int32]
Polygon = list[Ring]

FARTHEST = 1e9  # pixels; farther coordinates are clipped
MOST_CROSSINGS = 1 << 20  # crossings of outlines and rows that are processed at once
MOST_PIXELS = 1 << 24  # pixels that are drawn at once


@dataclass(frozen=True)
class _Corners:
    """The corners of all outlines, sorted by cell, y and x.

    A corner at which two pixels of one cell meet diagonally occurs twice.

    Attributes:
        run: int64[K], the run of each corner.
        cell: int64[K], the cell of each corner.
        x: int64[K].
        y: int64[K].
        below: bool[K], whether the run lies below the corner.
        start: bool[K], whether the corner is at the start of the run.
    """

    run: Int64
    cell: Int64
    x: Int64
    y: Int64
    below: NDArray[np.bool_]
    start: NDArray[np.bool_]

    def meets_next(self) -> NDArray[np.bool_]:
        """Whether the next corner belongs to the same cell and position, bool[K - 1]."""
        same: NDArray[np.bool_] = (
            (np.diff(self.cell) == 0) & (np.diff(self.y) == 0) & (np.diff(self.x) == 0)
        )
        return same


def outlines(instances: Instances) -> list[list[Polygon]]:
    """Return the polygons of each cell, one for each 4-connected part.

    Returns:
        For each cell a list of polygons, empty if it has no pixels. A polygon is a list of rings,
        the outer one first and then its holes. A ring is int32[K, 2] with x (column) and y (row) of
        pixel corners, where the last does not repeat the first; pixel 0 spans 0 to 1. Outer rings
        have a positive area (as in RFC 7946), holes a negative one.
    """
    polygons: list[list[Polygon]] = [[] for _ in range(len(instances))]
    if not len(instances.runs):
        return polygons
    corners = _corners(instances)
    following = _following(corners, instances.size)
    ring = _ring_of(following)
    # A part that meets itself at a corner encloses a hole there: the ring is split in two.
    closing = np.flatnonzero(corners.meets_next() & (ring[1:] == ring[:-1]))
    if len(closing):
        following[closing], following[closing + 1] = following[closing + 1], following[closing]
        ring = _ring_of(following)
    order, starts = _along(following, ring)
    points = np.stack((corners.x, corners.y), axis=1)[order]
    is_hole = _doubled_areas(points, starts) < 0
    first = order[starts]
    cell = corners.cell[first]
    part = np.zeros(len(first), np.int64)
    if (np.bincount(cell[~is_hole], minlength=len(instances))[cell[is_hole]] > 1).any():
        part = connected_runs(instances)[corners.run[first]]
    rings = np.split(points.astype(np.int32), starts[1:])
    for index in np.lexsort((is_hole, part, cell)).tolist():
        if is_hole[index]:
            polygons[cell[index]][-1].append(rings[index])
        else:
            polygons[cell[index]].append([rings[index]])
    return polygons


def _corners(instances: Instances) -> _Corners:
    """Find the corners of outlines: the ends of runs that do not continue in the next row."""
    height, width = instances.size
    row, start, stop = instances.runs.astype(np.int64).T
    run = np.tile(np.arange(len(row)), 4)
    x = np.concatenate((start, stop, start, stop))
    y = np.concatenate((row, row, row + 1, row + 1))
    is_start = np.tile(np.repeat([True, False], len(row)), 2)
    below = np.repeat([True, False], 2 * len(row))
    cell = instances.run_owner[run]
    # At one position a stop precedes a start: the corner that ends what lies to the left.
    key = ((cell * (height + 1) + y) * (width + 1) + x) * 2 + is_start
    order = np.argsort(key, kind="stable")
    key = key[order]
    straight = np.zeros(len(key), bool)
    straight[1:] = key[1:] == key[:-1]
    straight[:-1] |= straight[1:]
    kept = order[~straight]
    return _Corners(run[kept], cell[kept], x[kept], y[kept], below[kept], is_start[kept])


def _following(corners: _Corners, size: tuple[int, int]) -> Int64:
    """Return the next corner along the outline, int64[K], with the cell on the right side.

    Where two pixels meet only at a corner, the outline stays with its pixel.
    """
    index = np.arange(len(corners.x))
    # On a line of corners the 1st and 2nd, 3rd and 4th ... are connected, in both directions.
    across = index ^ 1
    column = (corners.cell * (size[1] + 1) + corners.x) * (size[0] + 1) + corners.y
    ordered = np.argsort(column * 2 + corners.below, kind="stable")
    down = np.empty_like(index)
    down[ordered] = ordered[index ^ 1]
    is_left = index % 2 == 0
    has_cell_below = (corners.below == corners.start)[index & ~1]
    return np.where(is_left == has_cell_below, across, down)


def _ring_of(following: Int64) -> Int64:
    """Return the first corner of each corner's ring, int64[K]."""
    ring = np.minimum(np.arange(len(following)), following)
    jump = following
    while True:
        jump = jump[jump]
        wider = np.minimum(ring, ring[jump])
        if (wider == ring).all():
            return ring
        ring = wider


def _along(following: Int64, ring: Int64) -> tuple[Int64, Int64]:
    """Return all corners ring by ring in order along the outline, and the start of each ring."""
    index = np.arange(len(following))
    left = (index != ring).astype(np.int64)
    jump = np.where(index == ring, index, following)
    while (jump != ring).any():
        left += left[jump]
        jump = jump[jump]
    # The number of remaining steps orders the corners of a ring; its first corner has none.
    left[index == ring] = len(following)
    order = np.lexsort((-left, ring))
    return order, np.flatnonzero(np.diff(ring[order], prepend=-1))


def _doubled_areas(points: Int64, starts: Int64) -> Int64:
    """Compute twice the signed area of each ring of points int64[K, 2]: int64[M]."""
    ends = np.append(starts[1:], len(points)) - 1
    after = np.arange(1, len(points) + 1)
    after[ends] = starts
    cross = points[:, 0] * points[after, 1] - points[after, 0] * points[:, 1]
    return np.add.reduceat(cross, starts)


def filled(
    cells: Sequence[Sequence[NDArray[Any]]], size: tuple[int, int], **fields: Any
) -> Instances:
    """Fill closed rings: a pixel belongs to a cell if an odd number of rings contain its centre.

    Memory is proportional to the points and the pixels inside the image, however far the rings
    extend and however often they cross it.

    Args:
        cells: The rings of each cell, outer ones and holes alike, float[K, 2] of finite x (column)
            and y (row); the last point need not repeat the first.
        size: (H, W); the rest is clipped.
        **fields: See `Instances.from_runs`.
    """
    edges = _edges(cells, size)
    parts = [np.zeros((0, 3), np.int32)]
    owners = [np.zeros(0, np.int64)]
    for first, last in batches(edges.per_cell, MOST_CROSSINGS):
        if last - first == 1 and edges.per_cell[first] > MOST_CROSSINGS:
            runs = _runs_of_one(edges.of_cells(first, last), size)
            owner = np.full(len(runs), first)
        else:
            runs, owner = _runs_of_many(edges.of_cells(first, last), size)
        parts.append(runs)
        owners.append(owner)
    return Instances.from_runs(
        np.concatenate(parts), np.concatenate(owners), len(cells), size, **fields
    )


@dataclass(frozen=True)
class _Edges:
    """The edges of the rings of N cells, and the rows of the image that they cross.

    Attributes:
        one: float64[E, 2], x and y of the first end.
        two: float64[E, 2], x and y of the second end.
        cell: int64[E].
        first: int64[E], the first row whose centre line lies between the ends.
        count: int64[E], the number of such rows.
        per_cell: int64[N], the number of crossings of each cell.
        starts: int64[N + 1], where the edges of each cell begin.
    """

    one: NDArray[np.float64]
    two: NDArray[np.float64]
    cell: Int64
    first: Int64
    count: Int64
    per_cell: Int64
    starts: Int64

    def of_cells(self, first: int, last: int) -> _Edges:
        """Return the edges of the cells first .. last - 1."""
        part = slice(int(self.starts[first]), int(self.starts[last]))
        return _Edges(
            self.one[part], self.two[part], self.cell[part], self.first[part], self.count[part],
            self.per_cell, self.starts,
        )  # fmt: skip

    def crossings(self, first: int, last: int) -> tuple[Int64, Int64, NDArray[np.float64]]:
        """Return edge, row and x of all crossings of the edges first .. last - 1 with rows."""
        count = self.count[first:last]
        edge = np.repeat(np.arange(first, last), count)
        row = rle.expand(self.first[first:last], count)
        (x, y), (step_x, step_y) = self.one[edge].T, (self.two - self.one)[edge].T
        return edge, row, x + (row + 0.5 - y) * (step_x / step_y)


def _edges(cells: Sequence[Sequence[NDArray[Any]]], size: tuple[int, int]) -> _Edges:
    rings = [np.asarray(ring, np.float64).reshape(-1, 2) for cell in cells for ring in cell]
    lengths = np.array([len(ring) for ring in rings], np.int64)
    owner = np.repeat(np.arange(len(cells)), [len(cell) for cell in cells])
    cell = np.repeat(owner, lengths)
    one = np.concatenate([np.zeros((0, 2)), *rings])
    two = np.concatenate([np.zeros((0, 2)), *(np.roll(ring, -1, axis=0) for ring in rings)])
    one, two = (np.clip(ends, -FARTHEST, FARTHEST) for ends in (one, two))
    # An edge crosses the rows whose centre line lies between its ends.
    upper, lower = np.minimum(one[:, 1], two[:, 1]), np.maximum(one[:, 1], two[:, 1])
    first = np.clip(np.ceil(upper - 0.5), 0, size[0]).astype(np.int64)
    count = np.clip(np.ceil(lower - 0.5), 0, size[0]).astype(np.int64) - first
    per_cell = np.zeros(len(cells), np.int64)
    np.add.at(per_cell, cell, count)
    starts = rle.split_points(np.bincount(cell, minlength=len(cells)))
    return _Edges(one, two, cell, first, count, per_cell, starts)


def batches(weights: Int64, most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges first .. last - 1 of items with a total weight up to `most`, or of one item.

    Args:
        weights: int64[N], none negative.
        most: The largest total weight.
    """
    ends = np.cumsum(weights)
    first = 0
    while first < len(weights):
        before = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, before + most, side="right")), first + 1)
        yield first, last
        first = last


def _runs_of_many(edges: _Edges, size: tuple[int, int]) -> tuple[NDArray[np.int32], Int64]:
    """Return runs int32[R, 3] from odd to even crossings of a row, and the cell of each."""
    edge, row, crossing = edges.crossings(0, len(edges.cell))
    col = _column(crossing, size)
    cell = edges.cell[edge]
    order = np.lexsort((col, row, cell))
    row, col, cell = row[order], col[order], cell[order]
    runs = np.stack((row[0::2], col[0::2], col[1::2]), axis=1).astype(np.int32)
    some = runs[:, 1] < runs[:, 2]
    return runs[some], cell[0::2][some]


def _runs_of_one(edges: _Edges, size: tuple[int, int]) -> NDArray[np.int32]:
    """Return the runs int32[R, 3] of one cell with very many crossings, drawn in bands of rows.

    A pixel is inside if the number of crossings up to it is odd.
    """
    parts = [np.zeros((0, 3), np.int32)]
    height, width = size
    low, high = int(edges.first.min()), int((edges.first + edges.count).max())
    band = max(MOST_PIXELS // (width + 1), 1)
    for top in range(low, min(high, height), band):
        bottom = min(top + band, high)
        first = np.clip(edges.first, top, bottom)
        count = np.clip(edges.first + edges.count, top, bottom) - first
        within = replace(edges, first=first, count=count)
        odd = np.zeros((bottom - top, width + 1), np.uint8)
        for begin, end in batches(count, MOST_CROSSINGS):
            _, row, crossing = within.crossings(begin, end)
            place = (row - top) * (width + 1) + _column(crossing, size)
            # Bytes overflow at 256, which preserves parity.
            np.add.at(odd.ravel(), place, np.uint8(1))
        inside = np.add.accumulate(odd, axis=1, dtype=np.uint8)[:, :width] & 1
        runs, _ = rle.label_runs(np.ascontiguousarray(inside))
        parts.append(runs + np.array([top, 0, 0], np.int32))
    return np.concatenate(parts)


def _column(crossing: NDArray[np.float64], size: tuple[int, int]) -> Int64:
    """Return the first column whose centre lies to the right of a crossing, int64[K]."""
    return np.clip(np.ceil(crossing - 0.5), 0, size[1]).astype(np.int64)
