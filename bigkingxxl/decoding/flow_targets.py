"""Flows towards each cell's centre: heat spreads from there through the cell, flows climb it.

Source: Stringer et al. 2021, Cellpose, as version 3 computes them (on the CPU): after each step of
a heat source at the cell's pixel nearest to its mean position, every pixel takes a ninth of the
heat of itself and its eight neighbours in the cell; 2 (height + width + 4) steps; the flow is the
gradient of the heat as a unit vector. All cells go through it at once, and exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

# Heat falls by up to nine times per pixel in a thin cell. Single precision reaches 74 decades below
# this source, further than the 60 below which cellpose lets flows fade (1e-60 beside its source 1).
HEAT_SOURCE = np.float32(1e36)
FADES_BELOW = 1e36 * 1e-60


def label_flows(label_map: NDArray[np.integer]) -> Float32:
    """float32[2, h, w]: row and column flow, unit vectors inside cells, 0 outside.

    Args:
        label_map: int[h, w], 0 = background. What does not hang together with the pixel at the
            centre of its label (a fragment) has no flow, nor has a cell of one pixel.
    """
    flows = np.zeros((2, label_map.size), np.float32)
    if label_map.any():
        strip = cell_strip(label_map)
        flows[:, strip.flat] = strip.flows()
    return flows.reshape(2, *label_map.shape)


def plane_flows(planes: NDArray[np.int32]) -> tuple[Float32, NDArray[np.int32]]:
    """Flows of cells that may overlap, and the cell on top at every pixel.

    Where cells overlap the smaller one is on top: what lies on a large cell is seen on it. Flows
    are those of whole cells, also where another covers them in part.

    Args:
        planes: int32[L, h, w] label planes, no label on two planes.
    Returns:
        float32[2, h, w] and int32[h, w] labels.
    """
    count, height, width = planes.shape
    flows = label_flows(planes.reshape(count * height, width)).reshape(2, count, height, width)
    if count == 1:
        return flows[:, 0], planes[0]
    top, labels = smallest_on_top(planes)
    return np.take_along_axis(flows, top[None, None], axis=1)[:, 0], labels


def smallest_on_top(planes: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """intp[h, w] and int32[h, w]: the plane of each pixel's smallest cell, and its label there."""
    area = np.bincount(planes.ravel()).astype(np.float64)
    area[0] = np.inf
    top: NDArray[np.intp] = area[planes].argmin(axis=0)
    return top, np.take_along_axis(planes, top[None], axis=0)[0]


@dataclass(frozen=True, eq=False)
class CellStrip:
    """The pixels of N cells in one row, cell after cell, run after run, a blank about every run.

    The longest diffusion comes first, so that what still diffuses is always the strip's beginning.
    Place 0 is blank and stands for every neighbour outside the cell.

    Attributes:
        label: [N], of each cell, in the label map's dtype.
        flat: int64[P], where each pixel lies in the label map; place: int64[P], where in the strip.
        above, below: int64[S], the places of the neighbours in the rows before and after.
        share: float32[S], 1/9 for pixels and 0 for blanks.
        splits: int64[N + 1], where each cell's pixels begin; ends: int64[N], its end in the strip.
        centre: int64[N], the place of its heat source; steps: int64[N], of diffusion, falling.
    """

    label: NDArray[np.integer]
    flat: Int64
    place: Int64
    above: Int64
    below: Int64
    share: Float32
    splits: Int64
    ends: Int64
    centre: Int64
    steps: Int64

    def flows(self) -> Float32:
        """float32[2, P]: unit vectors up the heat."""
        heat = self._heat()
        rows = heat[self.below[self.place]] - heat[self.above[self.place]]
        cols = heat[self.place + 1] - heat[self.place - 1]
        slopes = np.stack((rows, cols)).astype(np.float64)
        slopes /= FADES_BELOW + np.sqrt((slopes**2).sum(axis=0))
        return slopes.astype(np.float32)

    def _heat(self) -> Float32:
        """float32[S + 1] after each cell's own number of steps."""
        size = len(self.share)
        heat, three, other = (np.zeros(size + 1, np.float32) for _ in range(3))
        last = np.flatnonzero(np.diff(self.steps, append=0))
        done = 0
        for cell in last[::-1]:
            stop = int(self.ends[cell])
            self._diffuse(heat, three, other, stop, int(cell) + 1, int(self.steps[cell]) - done)
            done = int(self.steps[cell])
        return heat

    def _diffuse(
        self, heat: Float32, three: Float32, other: Float32, stop: int, cells: int, steps: int
    ) -> None:
        """Take `steps` steps with the first `cells` cells, up to place `stop`, in two rooms."""
        centre, share = self.centre[:cells], self.share[1:stop]
        above, below = self.above[1:stop], self.below[1:stop]
        left, here, right = heat[: stop - 1], heat[1:stop], heat[2 : stop + 1]
        whole, middle, room = three[:stop], three[1:stop], other[1:stop]
        for _ in range(steps):
            heat[centre] += HEAT_SOURCE
            # Opposite neighbours are added first: a symmetric cell stays symmetric to the last bit,
            # and rounding does not become a direction where there is none.
            np.add(left, right, out=middle)
            np.add(middle, here, out=middle)
            np.take(whole, above, out=room, mode="wrap")
            np.take(whole, below, out=here, mode="wrap")
            np.add(here, room, out=here)
            np.add(here, middle, out=here)
            np.multiply(here, share, out=here)


def cell_strip(label_map: NDArray[np.integer]) -> CellStrip:
    """The strip of a label map with at least one cell."""
    runs, cell, steps = _runs_by_steps(label_map)
    row, start, stop = runs
    width = label_map.shape[1] + 2
    # Two runs one pixel apart share the blank between them, as both neighbour it.
    key = (cell * (label_map.shape[0] + 2) + row) * width + start
    length = stop - start
    shared = np.append(key[1:] == key[:-1] + length[:-1] + 1, False)
    padded = length + 2 - shared
    begin = rle.split_points(padded)[:-1] + 1
    place = rle.expand(begin + 1, length)
    size = int(begin[-1] + padded[-1])
    share = np.zeros(size, np.float32)
    share[place] = np.float32(1 / 9)
    above = _neighbours(key, begin, padded, size, -width)
    below = _neighbours(key, begin, padded, size, width)
    flat = rle.expand(row * label_map.shape[1] + start, length)
    counts = np.bincount(cell, weights=length).astype(np.int64)
    last = np.flatnonzero(np.diff(cell, append=-1))
    splits = rle.split_points(counts)
    nearest = _nearest_to_mean(row, start, length, splits)
    label = label_map.ravel()[flat[splits[:-1]]]
    return CellStrip(label, flat, place, above, below, share, splits, (begin + padded)[last],
                     place[nearest], steps)  # fmt: skip


def _runs_by_steps(label_map: NDArray[np.integer]) -> tuple[tuple[Int64, ...], Int64, Int64]:
    """Row, start and stop of all runs, the cell of each, and each cell's steps, most first."""
    found, label = rle.label_runs(label_map)
    order = np.argsort(label, kind="stable")
    runs, label = found[order].astype(np.int64), label[order]
    first = np.flatnonzero(np.diff(label, prepend=label[0] - 1))
    height = np.maximum.reduceat(runs[:, 0], first) - runs[first, 0] + 1
    left = np.minimum.reduceat(runs[:, 1], first)
    steps = 2 * (height + np.maximum.reduceat(runs[:, 2], first) - left + 4)
    cells = np.argsort(-steps, kind="stable")
    counts = np.diff(first, append=len(runs))
    runs = runs[rle.expand(first[cells], counts[cells])]
    cell = np.repeat(np.arange(len(cells)), counts[cells])
    return (runs[:, 0], runs[:, 1], runs[:, 2]), cell, steps[cells]


def _neighbours(key: Int64, begin: Int64, padded: Int64, size: int, shift: int) -> Int64:
    """int64[size]: the place of each place's neighbour `shift` keys away, 0 where there is none.

    Args:
        key: int64[R], ascending, of each run's first pixel; begin, padded: int64[R], where the run
            begins in the strip, blanks included, and how many places it has.
    """
    start = key - 1 + shift
    low = np.searchsorted(key - 1 + padded, start, side="right")
    high = np.searchsorted(key - 1, start + padded, side="left")
    meets = np.maximum(high - low, 0)
    one, two = np.repeat(np.arange(len(key)), meets), rle.expand(low, meets)
    from_key = np.maximum(start[one], key[two] - 1)
    length = np.minimum(start[one] + padded[one], key[two] - 1 + padded[two]) - from_key
    places = np.zeros(size, np.int64)
    here = rle.expand(begin[one] + from_key - start[one], length)
    places[here] = rle.expand(begin[two] + from_key - (key[two] - 1), length)
    return places


def _nearest_to_mean(row: Int64, start: Int64, length: Int64, splits: Int64) -> Int64:
    """int64[N]: the first of each cell's pixels that is nearest to the mean of its pixels.

    Distances are compared in whole numbers: pixels that lie equally near stay so, and the first one
    is the centre whatever a float would round to.
    """
    counts = np.diff(splits)
    owner = np.repeat(np.arange(len(counts)), counts)
    rows, cols = np.repeat(row, length), rle.expand(start, length)
    # From the cell's own corner, so that the squares stay small.
    rows = rows - np.minimum.reduceat(rows, splits[:-1])[owner]
    cols = cols - np.minimum.reduceat(cols, splits[:-1])[owner]
    total_row = np.add.reduceat(rows, splits[:-1])
    total_col = np.add.reduceat(cols, splits[:-1])
    # N |p - mean|^2 less what is the same for all pixels of the cell.
    distance = counts[owner] * (rows**2 + cols**2)
    distance -= 2 * (rows * total_row[owner] + cols * total_col[owner])
    nearest = np.flatnonzero(distance == np.minimum.reduceat(distance, splits[:-1])[owner])
    return nearest[np.flatnonzero(np.diff(owner[nearest], prepend=-1))]
