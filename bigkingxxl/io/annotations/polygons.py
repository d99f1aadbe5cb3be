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
MOST_STEPS = 1 << 20  # of outlines walked at once


def fill_polygons(polygons: Sequence[NDArray[Any]], size: tuple[int, int]) -> tuple[Runs, Int64]:
    """The pixels inside each of N polygons, cut at the image's border.

    Memory follows the points and the image, however long the outlines are.

    Args:
        polygons: N times float[K, 2], x (column) and y (row), pixel 0 reaching from 0 to 1.
        size: (H, W).

    Returns:
        runs: int32[R, 3], row, start, stop, and the polygon of each: int64[R].

    Source: `rleFrPoly` of the COCO API (`maskApi.c`).
    """
    runs, owners = [np.zeros((0, 3), np.int32)], [np.zeros(0, np.int64)]
    weights = np.array([_steps(polygon) + _box_area(polygon, size) for polygon in polygons],
                       np.int64)  # fmt: skip
    for first, last in batches(weights, MOST_STEPS):
        if weights[first] > MOST_STEPS:
            part = _one(polygons[first], size)
            owner = np.zeros(len(part), np.int64)
        else:
            part, owner = _many(polygons[first:last], size)
        runs.append(part)
        owners.append(owner + first)
    return np.concatenate(runs), np.concatenate(owners)


def _steps(polygon: NDArray[Any]) -> int:
    """About as many points as the walk along an outline has."""
    sides = np.abs(polygon - np.roll(polygon, -1, axis=0)).max(axis=1)
    return int(SCALE * sides.sum()) + 2 * len(polygon)


def _box_area(polygon: NDArray[Any], size: tuple[int, int]) -> int:
    """Pixels of the box around a polygon, inside the image."""
    (width, height), limit = np.ptp(polygon, axis=0) + 2, size[0] * size[1]
    return int(min(width * height, limit))


def _many(polygons: Sequence[NDArray[Any]], size: tuple[int, int]) -> tuple[Runs, Int64]:
    """Runs of several polygons, and the polygon of each."""
    height, width = size
    counts = np.array([len(polygon) for polygon in polygons], np.int64)
    corner, polygon = _corners(np.concatenate(polygons)), np.repeat(np.arange(len(counts)), counts)
    edge, col, row = _walk(np.stack((corner, corner[_following(counts)]), axis=1))
    owner = polygon[edge]
    position, moved = _crossings_of(owner, col, row, size)
    owner = owner[moved]
    start, length, owner = _between_crossings(owner, position, len(polygons), height * width)
    place = rle.expand(start, length)
    cells = Instances.from_pixels(
        np.repeat(owner, length), (place % height) * width + place // height, len(polygons), size
    )
    return cells.runs, cells.run_owner


def _one(polygon: NDArray[Any], size: tuple[int, int]) -> Runs:
    """Runs of one polygon of a long outline or a large area, drawn into the image.

    A pixel is inside where the number of crossings up to it, column by column, is odd.
    """
    height, width = size
    corner, following = _corners(polygon), _following(np.array([len(polygon)], np.int64))
    steps = np.abs(corner[following] - corner).max(axis=1) + 1
    odd = np.zeros(height * width + 1, np.uint8)
    for first, last in batches(steps, MOST_STEPS):
        # The walk goes on from the last point of the edge before.
        edges = np.arange(max(first - 1, 0), last)
        _, col, row = _walk(np.stack((corner[edges], corner[following[edges]]), axis=1))
        known = int(steps[first - 1]) - 1 if first else 0
        same = np.zeros(len(col) - known, np.int64)
        position, _ = _crossings_of(same, col[known:], row[known:], size)
        # Bytes wrap round at 256, which leaves odd numbers odd.
        np.add.at(odd, position, np.uint8(1))
    inside = (np.add.accumulate(odd, dtype=np.uint8)[:-1] & 1).reshape(width, height).T
    return rle.label_runs(np.ascontiguousarray(inside))[0]


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


def _walk(edges: Int64) -> tuple[Int64, Int64, Int64]:
    """Edge, column and row of every point of edges int64[E, 2, 2] on the fine grid, in order."""
    first, last = edges[:, 0], edges[:, 1]
    across, down = np.abs(last - first).T
    flat = across >= down
    steps = np.maximum(across, down)
    flip = np.where(flat, first[:, 0] > last[:, 0], first[:, 1] > last[:, 1])[:, None]
    first, last = np.where(flip, last, first), np.where(flip, first, last)
    rise = np.where(flat, (last - first)[:, 1], (last - first)[:, 0]) / np.maximum(steps, 1)
    edge = np.repeat(np.arange(len(edges)), steps + 1)
    place = rle.expand(np.zeros(len(edges), np.int64), steps + 1)
    place = np.where(flip[edge, 0], steps[edge] - place, place)
    main = place + np.where(flat, first[:, 0], first[:, 1])[edge]
    other = (np.where(flat, first[:, 1], first[:, 0])[edge] + rise[edge] * place + 0.5).astype(
        np.int64
    )
    flat = flat[edge]
    return edge, np.where(flat, main, other), np.where(flat, other, main)


def _crossings_of(
    owner: Int64, col: Int64, row: Int64, size: tuple[int, int]
) -> tuple[Int64, Int64]:
    """Column-major position of every step across the centre of a pixel column; its index."""
    height, width = size
    moved = np.flatnonzero((col[1:] != col[:-1]) & (owner[1:] == owner[:-1]))
    left = np.minimum(col[1:], col[:-1])[moved] - SCALE // 2
    top = np.minimum(row[1:], row[:-1])[moved] - SCALE // 2
    column, line = left // SCALE, np.clip(-(-top // SCALE), 0, height)
    keep = (left % SCALE == 0) & (column >= 0) & (column < width)
    return (column * height + line)[keep], moved[keep] + 1


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
