"""Measure the shape of annotated cells from their runs: parts, holes and outline."""

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
    """Measurements of N cells, int64[N] each.

    Attributes:
        area: The number of pixels.
        outline: The length of the outline along pixel edges, including those of holes.
        parts: The number of 8-connected parts.
        holes: The number of 4-connected holes.
        filled: The number of pixels with filled holes.
    """

    area: Int64
    outline: Int64
    parts: Int64
    holes: Int64
    filled: Int64

    @property
    def thickness(self) -> NDArray[np.float64]:
        """Twice the area divided by the outline, in pixels, float64[N]: the width of a strip."""
        return 2 * self.area / np.maximum(self.outline, 1)

    @property
    def compactness(self) -> NDArray[np.float64]:
        """4 sqrt(area) / outline, float64[N]: 1 for a square, near 0 for a ragged shape."""
        return 4 * np.sqrt(self.area) / np.maximum(self.outline, 1)


def measure_shapes(instances: Instances) -> Shapes:
    """Measure all cells at once.

    The runs are nodes of a graph that is joined where runs of adjacent rows touch. The graph is
    planar and each of its faces is a hole, so that holes = parts - runs + joins (Euler).
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
    """Compute areas with filled holes; only cells with holes are drawn, each in its own box."""
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
