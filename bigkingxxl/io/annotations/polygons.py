"""Polygons as pixels, exactly as COCO's own tools fill them."""

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
SCALE = 5  # COCO walks the outline on a grid five times finer
MOST_CROSSINGS = 1 << 20  # of outlines and columns worked on at once


def fill_polygons(polygons: Sequence[NDArray[Any]], size: tuple[int, int]) -> tuple[Runs, Int64]:
    """The pixels inside each of N polygons, cut at the image's border.

    Memory follows the points and the area that is drawn, however long the outlines are.

    Args:
        polygons: N times float[K, 2], x (column) and y (row), pixel 0 reaching from 0 to 1.
        size: (H, W).

    Returns:
        runs: int32[R, 3], row, start, stop, and the polygon of each: int64[R].

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
    """About as many numbers as filling a polygon takes."""
    _, counts = _columns(_edges_of([polygon]), size)
    return int(counts.sum()) + 2 * len(polygon) + _box_area(polygon, size)


def _box_area(polygon: NDArray[Any], size: tuple[int, int]) -> int:
    """Pixels of the box around a polygon, inside the image."""
    (width, height), limit = np.ptp(polygon, axis=0) + 2, size[0] * size[1]
    return int(min(width * height, limit))


def _many(polygons: Sequence[NDArray[Any]], size: tuple[int, int]) -> tuple[Runs, Int64]:
    """Runs of several polygons, and the polygon of each."""
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
    """Runs of one polygon of a long outline or a large area, drawn into the columns it crosses.

    A pixel is inside where the number of crossings up to it, column by column, is odd.
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
        # Bytes wrap round at 256, which leaves odd numbers odd.
        np.add.at(odd, position - left * height, np.uint8(1))
    inside = (np.add.accumulate(odd, dtype=np.uint8)[:-1] & 1).reshape(right - left, height).T
    runs = rle.label_runs(np.ascontiguousarray(inside))[0]
    return runs + np.array([0, left, left], np.int32)


def _edges_of(polygons: Sequence[NDArray[Any]]) -> Int64:
    """int64[E, 2, 2]: first and last point of each side, (column, row) on the fine grid."""
    counts = np.array([len(polygon) for polygon in polygons], np.int64)
    corner = _corners(np.concatenate(polygons))
    return np.stack((corner, corner[_following(counts)]), axis=1)


def _corners(points: NDArray[Any]) -> Int64:
    """int64[K, 2]: points on the fine grid."""
    # Casting cuts towards zero, as C does: so do the casts below.
    return (SCALE * points.astype(np.float64) + 0.5).astype(np.int64)


def _following(counts: Int64) -> Int64:
    """int64[K]: the corner after each one, of closed outlines of so many corners."""
    ends = np.cumsum(counts)
    following = np.arange(1, int(counts.sum()) + 1)
    following[ends - 1] = ends - counts
    return following


def _columns(edges: Int64, size: tuple[int, int]) -> tuple[Int64, Int64]:
    """The first column of pixels whose centre each edge crosses, and how many: int64[E] each."""
    low, high = edges[:, :, 0].min(axis=1), edges[:, :, 0].max(axis=1)
    first = np.clip(-(-(low - SCALE // 2) // SCALE), 0, size[1])
    last = np.clip((high - 1 - SCALE // 2) // SCALE, -1, size[1] - 1)
    return first, np.maximum(last - first + 1, 0)


def _crossings(
    edges: Int64, first: Int64, counts: Int64, size: tuple[int, int]
) -> tuple[Int64, Int64]:
    """Edge and column-major position of every step across the centre of a column of pixels.

    COCO walks each edge step by step along its longer side; here only the steps that cross are
    taken, by the same arithmetic.
    """
    across, down = np.abs(edges[:, 1] - edges[:, 0]).T
    flat = across >= down
    flip = np.where(flat, edges[:, 0, 0] > edges[:, 1, 0], edges[:, 0, 1] > edges[:, 1, 1])
    edges = np.where(flip[:, None, None], edges[:, ::-1], edges)
    (col, row), (end_col, end_row) = edges[:, 0].T, edges[:, 1].T
    rise = np.where(flat, end_row - row, end_col - col) / np.maximum(np.maximum(across, down), 1)
    edge = np.repeat(np.arange(len(edges)), counts)
    column = rle.expand(first, counts)
    before = SCALE * column + SCALE // 2  # the step goes from here one to the right, or back
    flat, col, row, rise = flat[edge], col[edge], row[edge], rise[edge]

    def other(start: Int64, step: Int64) -> Int64:
        """The place across the way after so many steps, rounded as C does."""
        return np.asarray(start + rise * step + 0.5).astype(np.int64)

    step = before - col
    along = np.minimum(other(row, step), other(row, step + 1))
    # Down a steep edge: the first step that has reached the other side, near where a line would.
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
    """Column-major runs from odd to even crossings; an odd last one runs to the image's end.

    Returns:
        start, length and owner of each run.
    """
    odd = np.flatnonzero(np.bincount(owner, minlength=count) % 2)
    owner = np.concatenate((owner, odd))
    position = np.concatenate((position, np.full(len(odd), end, np.int64)))
    order = np.lexsort((position, owner))
    owner, position = owner[order], position[order]
    return position[0::2], position[1::2] - position[0::2], owner[0::2]
