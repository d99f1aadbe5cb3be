"""Fill polygons exactly as COCO's tools do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.outlines import batches

Int64 = NDArray[np.int64]
Runs = NDArray[np.int32]
SCALE = 5  # COCO follows the outline on a grid that is five times finer
MOST_CROSSINGS = 1 << 20  # crossings of outlines and columns that are processed at once


def fill_polygons(polygons: Sequence[NDArray[Any]], size: tuple[int, int]) -> tuple[Runs, Int64]:
    """Return the pixels inside N polygons, clipped to the image.

    Memory is proportional to the points and the drawn area, however long the outlines are.

    Args:
        polygons: N arrays float[K, 2] of x (column) and y (row); pixel 0 spans 0 to 1.
        size: (H, W).

    Returns:
        The runs int32[R, 3] (row, start, stop), and the polygon of each, int64[R].

    Source: `rleFrPoly` of the COCO API (`maskApi.c`).
    """
    runs, owners = [np.zeros((0, 3), np.int32)], [np.zeros(0, np.int64)]
    weights = np.array([_work(polygon, size) for polygon in polygons], np.int64)
    for first, last in batches(weights, MOST_CROSSINGS):
        if weights[first] > MOST_CROSSINGS:
            part = _one(polygons[first], size)
            owner = np.zeros(len(part), np.int64)
        else:
            part, owner = _many(polygons[first:last], size)
        runs.append(part)
        owners.append(owner + first)
    return np.concatenate(runs), np.concatenate(owners)


def _work(polygon: NDArray[Any], size: tuple[int, int]) -> int:
    """Estimate how many values filling a polygon takes."""
    _, counts = _columns(_edges_of([polygon]), size)
    return int(counts.sum()) + 2 * len(polygon) + _box_area(polygon, size)


def _box_area(polygon: NDArray[Any], size: tuple[int, int]) -> int:
    """Return the area of a polygon's bounding box inside the image."""
    (width, height), limit = np.ptp(polygon, axis=0) + 2, size[0] * size[1]
    return int(min(width * height, limit))


def _many(polygons: Sequence[NDArray[Any]], size: tuple[int, int]) -> tuple[Runs, Int64]:
    """Return the runs of several polygons, and the polygon of each."""
    height, width = size
    edges = _edges_of(polygons)
    edge, position = _crossings(edges, *_columns(edges, size), size)
    owner = np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons])[edge]
    start, length, owner = _between_crossings(owner, position, len(polygons), height * width)
    place = rle.expand(start, length)
    cells = Instances.from_pixels(
        np.repeat(owner, length), (place % height) * width + place // height, len(polygons), size
    )
    return cells.runs, cells.run_owner


def _one(polygon: NDArray[Any], size: tuple[int, int]) -> Runs:
    """Return the runs of a polygon with a long outline or a large area, drawn column by column.

    A pixel is inside if the number of crossings up to it, in column order, is odd.
    """
    height, edges = size[0], _edges_of([polygon])
    first, counts = _columns(edges, size)
    crossed = counts > 0
    if not crossed.any():
        return np.zeros((0, 3), np.int32)
    left, right = int(first[crossed].min()), int((first + counts)[crossed].max())
    odd = np.zeros(height * (right - left) + 1, np.uint8)
    for low, high in batches(counts, MOST_CROSSINGS):
        part = slice(low, high)
        _, position = _crossings(edges[part], first[part], counts[part], size)
        # Bytes overflow at 256, which preserves parity.
        np.add.at(odd, position - left * height, np.uint8(1))
    inside = (np.add.accumulate(odd, dtype=np.uint8)[:-1] & 1).reshape(right - left, height).T
    runs = rle.label_runs(np.ascontiguousarray(inside))[0]
    return runs + np.array([0, left, left], np.int32)


def _edges_of(polygons: Sequence[NDArray[Any]]) -> Int64:
    """Return the ends of each edge on the fine grid, (column, row), int64[E, 2, 2]."""
    counts = np.array([len(polygon) for polygon in polygons], np.int64)
    corner = _corners(np.concatenate(polygons))
    return np.stack((corner, corner[_following(counts)]), axis=1)


def _corners(points: NDArray[Any]) -> Int64:
    """Round points to the fine grid, int64[K, 2]."""
    # Casting truncates towards zero, as in C, here and below.
    return (SCALE * points.astype(np.float64) + 0.5).astype(np.int64)


def _following(counts: Int64) -> Int64:
    """Return the next corner of each one in closed outlines of given lengths, int64[K]."""
    ends = np.cumsum(counts)
    following = np.arange(1, int(counts.sum()) + 1)
    following[ends - 1] = ends - counts
    return following


def _columns(edges: Int64, size: tuple[int, int]) -> tuple[Int64, Int64]:
    """Return the first pixel column whose centre each edge crosses, and their number, int64[E]."""
    low, high = edges[:, :, 0].min(axis=1), edges[:, :, 0].max(axis=1)
    first = np.clip(-(-(low - SCALE // 2) // SCALE), 0, size[1])
    last = np.clip((high - 1 - SCALE // 2) // SCALE, -1, size[1] - 1)
    return first, np.maximum(last - first + 1, 0)


def _crossings(
    edges: Int64, first: Int64, counts: Int64, size: tuple[int, int]
) -> tuple[Int64, Int64]:
    """Return the edge and the column-major position of every step across the centre of a column.

    COCO follows each edge step by step along its longer side. Here only the crossing steps are
    computed, with the same arithmetic.
    """
    across, down = np.abs(edges[:, 1] - edges[:, 0]).T
    flat = across >= down
    flip = np.where(flat, edges[:, 0, 0] > edges[:, 1, 0], edges[:, 0, 1] > edges[:, 1, 1])
    edges = np.where(flip[:, None, None], edges[:, ::-1], edges)
    (col, row), (end_col, end_row) = edges[:, 0].T, edges[:, 1].T
    rise = np.where(flat, end_row - row, end_col - col) / np.maximum(np.maximum(across, down), 1)
    edge = np.repeat(np.arange(len(edges)), counts)
    column = rle.expand(first, counts)
    before = SCALE * column + SCALE // 2  # the step leads from here one to the right, or back
    flat, col, row, rise = flat[edge], col[edge], row[edge], rise[edge]

    def other(start: Int64, step: Int64) -> Int64:
        """Return the coordinate across the direction after a number of steps, rounded as in C."""
        return np.asarray(start + rise * step + 0.5).astype(np.int64)

    step = before - col
    along = np.minimum(other(row, step), other(row, step + 1))
    # For a steep edge: the first step on the other side, near the position of a straight line.
    right = rise > 0
    goal = before + right
    guess = np.ceil((goal + np.where(right, -0.5, 0.5) - col) / np.where(rise == 0, 1, rise))
    after = guess.astype(np.int64) - 2
    for _ in range(4):
        reached = np.where(right, other(col, after) >= goal, other(col, after) <= goal)
        after += ~reached
    top = np.where(flat, along, row + after - 1) - SCALE // 2
    line = np.clip(-(-top // SCALE), 0, size[0])
    return edge, column * size[0] + line


def _between_crossings(
    owner: Int64, position: Int64, count: int, end: int
) -> tuple[Int64, Int64, Int64]:
    """Return column-major runs from odd to even crossings; an odd last one extends to the end.

    Returns:
        The start, length and owner of each run.
    """
    odd = np.flatnonzero(np.bincount(owner, minlength=count) % 2)
    owner = np.concatenate((owner, odd))
    position = np.concatenate((position, np.full(len(odd), end, np.int64)))
    order = np.lexsort((position, owner))
    owner, position = owner[order], position[order]
    return position[0::2], position[1::2] - position[0::2], owner[0::2]
