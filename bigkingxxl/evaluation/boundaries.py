"""How far apart the boundaries of paired cells are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.instances import Instances

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
NEAR = 4  # pixels: farther neighbours are found by a tree
PERCENT = 95
FAR = 1 << 24  # between pairs along the third axis of the tree: more than any image is wide
PIXELS_AT_ONCE = 1 << 24  # of the crops


class BoundaryDistances(NamedTuple):
    """Of each pair of cells, in pixels.

    Attributes:
        mean: float64[L], the mean distance from each boundary pixel to the other boundary, of both.
        high: float64[L], 95 % of these distances are not larger.
    """

    mean: Float64
    high: Float64


def boundary_distances(first: Instances, second: Instances) -> BoundaryDistances:
    """The distances of cell i of the one set from cell i of the other, in both directions.

    A boundary pixel is one of which a pixel above, below, left or right is not of the cell.

    Args:
        first, second: as many cells of the same image, all with pixels.
    """
    sides = _boxes(first, second)
    sizes = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])
    found = [BoundaryDistances(np.zeros(0), np.zeros(0))]
    found += [
        _distances(first.take(part), second.take(part), sides[part]) for part in _parts(sizes)
    ]
    return BoundaryDistances(*map(np.concatenate, zip(*found, strict=True)))


def _boxes(first: Instances, second: Instances) -> Int64:
    """int64[L, 4]: a box around both cells of each pair, with room for every near neighbour."""
    one, two = first.boxes().astype(np.int64), second.boxes().astype(np.int64)
    low, high = np.minimum(one[:, :2], two[:, :2]), np.maximum(one[:, 2:], two[:, 2:])
    return np.concatenate((low - NEAR, high + NEAR), axis=1)


def _parts(sizes: Int64) -> list[Int64]:
    """The pairs in parts whose boxes hold so many pixels at most (or one box)."""
    part = np.cumsum(sizes) // PIXELS_AT_ONCE
    return [np.flatnonzero(part == number) for number in np.unique(part)]


def _distances(first: Instances, second: Instances, boxes: Int64) -> BoundaryDistances:
    widths = boxes[:, 3] - boxes[:, 1]
    sizes = (boxes[:, 2] - boxes[:, 0]) * widths
    corners = rle.split_points(sizes)[:-1]
    total = int(sizes.sum())
    edges = [_edge(cells, boxes, corners, widths, total) for cells in (first, second)]
    squares, owners = [], []
    for (owner, place), (other_owner, other) in (edges, edges[::-1]):
        squares.append(_nearest(owner, place, other_owner, other, widths, corners, total))
        owners.append(owner)
    return _summarised(np.concatenate(owners), np.concatenate(squares), len(first))


def _edge(
    cells: Instances, boxes: Int64, corners: Int64, widths: Int64, total: int
) -> tuple[Int64, Int64]:
    """Owner and flat place in the crops of each boundary pixel, int64[P] each."""
    owner = cells.run_owner
    row, start, stop = cells.runs.astype(np.int64).T
    base = corners[owner] + (row - boxes[owner, 0]) * widths[owner] - boxes[owner, 1]
    lengths = stop - start
    place = rle.expand(base + start, lengths)
    owner = np.repeat(owner, lengths)
    inside = np.zeros(total, bool)
    inside[place] = True
    # A crop has a margin, so that neighbours lie in it.
    width = widths[owner]
    whole = inside[place - 1] & inside[place + 1]
    whole &= inside[place - width]
    whole &= inside[place + width]
    return owner[~whole], place[~whole]


def _nearest(
    owner: Int64, place: Int64, other_owner: Int64, other: Int64, widths: Int64, corners: Int64,
    total: int,
) -> Int64:  # fmt: skip
    """int64[P]: squared distance of each pixel from the nearest of the other boundary."""
    there = np.zeros(total, bool)
    there[other] = True
    result = np.full(len(place), -1)
    left = np.arange(len(place))
    for square, rows, columns in _offsets():
        width = widths[owner[left]]
        met = np.zeros(len(left), bool)
        for row, column in zip(rows, columns, strict=True):
            met |= there[place[left] + row * width + column]
        result[left[met]] = square
        left = left[~met]
        if not len(left):
            break
    if len(left):
        result[left] = _far(owner[left], place[left], other_owner, other, widths, corners)
    return result


def _offsets() -> list[tuple[int, list[int], list[int]]]:
    """Squared distance, rows and columns of all neighbours within `NEAR`, the nearest first."""
    by_square: dict[int, tuple[list[int], list[int]]] = {}
    for row in range(-NEAR, NEAR + 1):
        for column in range(-NEAR, NEAR + 1):
            rows, columns = by_square.setdefault(row * row + column * column, ([], []))
            rows.append(row)
            columns.append(column)
    return [(square, *by_square[square]) for square in sorted(by_square) if square <= NEAR * NEAR]


def _far(
    owner: Int64, place: Int64, other_owner: Int64, other: Int64, widths: Int64, corners: Int64
) -> Int64:
    """int64[P]: squared distances by a tree in which every pair has a level of its own."""
    from scipy.spatial import cKDTree

    asked = np.zeros(len(widths), bool)
    asked[owner] = True
    some = asked[other_owner]

    def points(cell: Int64, at: Int64) -> Float64:
        row, column = np.divmod(at - corners[cell], widths[cell])
        return np.stack((row, column, cell * FAR), axis=1).astype(np.float64)

    distance, _ = cKDTree(points(other_owner[some], other[some])).query(points(owner, place))
    squares: Int64 = np.rint(distance**2).astype(np.int64)
    return squares


def _summarised(owner: Int64, squares: Int64, count: int) -> BoundaryDistances:
    """Mean and 95 % of the distances of each pair."""
    distance = np.sqrt(squares)
    sizes = np.bincount(owner, minlength=count)
    mean = np.bincount(owner, distance, count) / sizes
    most = int(squares.max(initial=0)) + 1
    # Whole numbers are sorted fast: pair by pair, the nearest first.
    ascending = np.sqrt(np.sort(owner * most + squares) % most)
    rank = (sizes - 1) * PERCENT / 100
    low = np.floor(rank).astype(np.int64)
    first = rle.split_points(sizes)[:-1]
    upper = ascending[first + np.minimum(low + 1, sizes - 1)]
    lower = ascending[first + low]
    return BoundaryDistances(mean, lower + (rank - low) * (upper - lower))
