"""Shape of each annotated cell, from its runs alone: parts, holes, outline, without any mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import adjacent_runs

Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shapes:
    """Measures of N cells, each int64[N].

    Attributes:
        area: pixels.
        outline: length of the outline along pixel edges, around holes too.
        parts: pieces; pixels that touch at a corner belong together.
        holes: enclosed gaps; a gap that is open at a corner counts as enclosed.
        filled: pixels with the holes filled.
    """

    area: Int64
    outline: Int64
    parts: Int64
    holes: Int64
    filled: Int64

    @property
    def thickness(self) -> NDArray[np.float64]:
        """float64[N]: twice area / outline, in pixels: the width of a strip, little of a rag."""
        return 2 * self.area / np.maximum(self.outline, 1)

    @property
    def compactness(self) -> NDArray[np.float64]:
        """float64[N]: 4 sqrt(area) / outline: 1 for a square, near 0 for a rag of any size."""
        return 4 * np.sqrt(self.area) / np.maximum(self.outline, 1)


def measure_shapes(instances: Instances) -> Shapes:
    """Measure all cells at once.

    Runs are nodes of a graph, joined where runs of neighbouring rows touch. As it is planar and
    each of its faces is a hole, holes = parts - runs + joins (Euler).
    """
    owner, count = instances.run_owner, len(instances)
    upper, lower = adjacent_runs(instances, corners=True)
    first = np.unique(rle.connected(len(owner), upper, lower))
    parts = np.bincount(owner[first], minlength=count)
    runs = np.bincount(owner, minlength=count)
    joins = np.bincount(owner[upper], minlength=count)
    start, stop = instances.runs[:, 1].astype(np.int64), instances.runs[:, 2].astype(np.int64)
    shared = np.minimum(stop[upper], stop[lower]) - np.maximum(start[upper], start[lower])
    inside = np.bincount(owner[upper], shared, minlength=count).astype(np.int64)
    area = instances.areas()
    holes = parts - runs + joins
    return Shapes(area, 2 * runs + 2 * (area - inside), parts, holes, _filled(instances, holes))


def _filled(instances: Instances, holes: Int64) -> Int64:
    """Areas with the holes filled; only cells that have any are drawn, each in its own box."""
    from scipy.ndimage import binary_fill_holes

    filled = instances.areas()
    boxes = instances.boxes()
    for cell in np.flatnonzero(holes):
        filled[cell] = int(binary_fill_holes(_cropped(instances, int(cell), boxes[cell])).sum())
    return filled


def _cropped(instances: Instances, cell: int, box: Any) -> NDArray[np.bool_]:
    runs = instances.runs[instances.splits[cell] : instances.splits[cell + 1]].astype(np.int64)
    shape = (int(box[2] - box[0]), int(box[3] - box[1]))
    starts = (runs[:, 0] - box[0]) * shape[1] + runs[:, 1] - box[1]
    mask = np.zeros(shape, bool)
    mask.ravel()[rle.expand(starts, runs[:, 2] - runs[:, 1])] = True
    return mask
