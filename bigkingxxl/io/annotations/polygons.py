"""Polygons as pixels, exactly as COCO's own tools fill them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle

Int64 = NDArray[np.int64]
SCALE = 5  # COCO walks the outline on a grid five times finer


def fill_polygons(polygons: Sequence[NDArray[Any]], size: tuple[int, int]) -> tuple[Int64, Int64]:
    """The pixels inside each of N polygons, cut at the image's border.

    Args:
        polygons: N times float[K, 2], x (column) and y (row), pixel 0 reaching from 0 to 1.
        size: (H, W).

    Returns:
        owner: int64[P] and flat row-major position: int64[P].

    Source: `rleFrPoly` of the COCO API (`maskApi.c`).
    """
    height, width = size
    if not polygons:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    owner, col, row = _outlines(polygons)
    moved = (col[1:] != col[:-1]) & (owner[1:] == owner[:-1])
    owner = owner[1:][moved]
    # A crossing counts where the outline passes the centre of a pixel column.
    left = np.minimum(col[1:], col[:-1])[moved] - SCALE // 2
    top = np.minimum(row[1:], row[:-1])[moved] - SCALE // 2
    column, line = left // SCALE, np.clip(-(-top // SCALE), 0, height)
    keep = (left % SCALE == 0) & (column >= 0) & (column < width)
    start, length, owner = _between_crossings(
        owner[keep], (column * height + line)[keep], len(polygons), height * width
    )
    position = rle.expand(start, length)
    return np.repeat(owner, length), (position % height) * width + position // height


def _outlines(polygons: Sequence[NDArray[Any]]) -> tuple[Int64, Int64, Int64]:
    """owner, column and row of every point of the closed outlines on the fine grid, in order."""
    counts = np.array([len(polygon) for polygon in polygons], np.int64)
    # Casting cuts towards zero, as C does: so do the casts below.
    corner = (SCALE * np.concatenate(polygons).astype(np.float64) + 0.5).astype(np.int64)
    ends = np.cumsum(counts)
    following = np.arange(1, len(corner) + 1)
    following[ends - 1] = ends - counts
    first, last = corner, corner[following]
    across, down = np.abs(last - first).T
    flat = across >= down
    steps = np.maximum(across, down)
    flip = np.where(flat, first[:, 0] > last[:, 0], first[:, 1] > last[:, 1])[:, None]
    first, last = np.where(flip, last, first), np.where(flip, first, last)
    rise = np.where(flat, (last - first)[:, 1], (last - first)[:, 0]) / np.maximum(steps, 1)
    edge = np.repeat(np.arange(len(corner)), steps + 1)
    place = rle.expand(np.zeros(len(corner), np.int64), steps + 1)
    place = np.where(flip[edge, 0], steps[edge] - place, place)
    main = place + np.where(flat, first[:, 0], first[:, 1])[edge]
    other = (np.where(flat, first[:, 1], first[:, 0])[edge] + rise[edge] * place + 0.5).astype(
        np.int64
    )
    flat = flat[edge]
    owner = np.repeat(np.arange(len(polygons)), counts)[edge]
    return owner, np.where(flat, main, other), np.where(flat, other, main)


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
