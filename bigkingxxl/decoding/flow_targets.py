"""Flow targets: heat diffuses from each cell's centre, and the flows are its gradient.

Source: Stringer et al. 2021, Cellpose, as computed by version 3 on the CPU. The source is the
cell's pixel nearest to its mean position. In each step the source adds heat, and every pixel takes
the mean over itself and its eight neighbours in the cell. After 2 (height + width + 4) steps, the
flow is the gradient of the heat, as a unit vector. All cells are computed at once and exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

# Heat falls by up to a factor of nine per pixel in a thin cell. Single precision covers 74 decades
# below this source; cellpose lets flows fade 60 decades below its source (1e-60 relative to 1).
HEAT_SOURCE = np.float32(1e36)
FADES_BELOW = 1e36 * 1e-60


def label_flows(label_map: NDArray[np.integer]) -> Float32:
    """Compute flows float32[2, h, w] (row, column): unit vectors inside cells, 0 outside.

    Args:
        label_map: int[h, w], 0 = background. Fragments that are not connected to the pixel at the
            centre of their label have no flow, nor has a cell of a single pixel.
    """
    flows = np.zeros((2, label_map.size), np.float32)
    if label_map.any():
        strip = cell_strip(label_map)
        flows[:, strip.flat] = strip.flows()
    return flows.reshape(2, *label_map.shape)


def plane_flows(planes: NDArray[np.int32]) -> tuple[Float32, NDArray[np.int32]]:
    """Compute the flows of cells that may overlap, and the topmost cell of each pixel.

    Where cells overlap, the smaller one is on top. The flows are those of complete cells, even
    where another cell covers them.

    Args:
        planes: int32[L, h, w] label planes; each label occurs on one plane only.

    Returns:
        The flows, float32[2, h, w], and the labels, int32[h, w].
    """
    count, height, width = planes.shape
    flows = label_flows(planes.reshape(count * height, width)).reshape(2, count, height, width)
    if count == 1:
        return flows[:, 0], planes[0]
    top, labels = smallest_on_top(planes)
    return np.take_along_axis(flows, top[None, None], axis=1)[:, 0], labels


def smallest_on_top(planes: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Return the plane of each pixel's smallest cell, intp[h, w], and its label, int32[h, w]."""
    area = np.bincount(planes.ravel()).astype(np.float64)
    area[0] = np.inf
    top: NDArray[np.intp] = area[planes].argmin(axis=0)
    return top, np.take_along_axis(planes, top[None], axis=0)[0]


@dataclass(frozen=True, eq=False)
class CellStrip:
    """The pixels of N cells in one row: cell after cell, run after run, with gaps around runs.

    The cells are sorted by descending number of steps, so that the active ones are always at the
    beginning. Place 0 is a gap that stands for every neighbour outside the cell.

    Attributes:
        label: [N], the label of each cell in the dtype of the label map.
        flat: int64[P], the flat position of each pixel in the label map.
        place: int64[P], the place of each pixel in the strip.
        above: int64[S], the place of the neighbour in the row above.
        below: int64[S], the place of the neighbour in the row below.
        share: float32[S], 1/9 for pixels and 0 for gaps.
        splits: int64[N + 1], where the pixels of each cell begin.
        ends: int64[N], the end of each cell in the strip.
        centre: int64[N], the place of each cell's heat source.
        steps: int64[N], the number of diffusion steps, in descending order.
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
        """Compute unit vectors along the gradient of the heat, float32[2, P]."""
        heat = self._heat()
        rows = heat[self.below[self.place]] - heat[self.above[self.place]]
        cols = heat[self.place + 1] - heat[self.place - 1]
        slopes = np.stack((rows, cols)).astype(np.float64)
        slopes /= FADES_BELOW + np.sqrt((slopes**2).sum(axis=0))
        return slopes.astype(np.float32)

    def _heat(self) -> Float32:
        """Diffuse heat for each cell's own number of steps, float32[S + 1]."""
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
        """Diffuse the first `cells` cells, up to place `stop`, for `steps` steps in two buffers."""
        centre, share = self.centre[:cells], self.share[1:stop]
        above, below = self.above[1:stop], self.below[1:stop]
        left, here, right = heat[: stop - 1], heat[1:stop], heat[2 : stop + 1]
        whole, middle, room = three[:stop], three[1:stop], other[1:stop]
        for _ in range(steps):
            heat[centre] += HEAT_SOURCE
            # Opposite neighbours are added first, so that a symmetric cell stays exactly symmetric
            # and rounding errors do not become a direction.
            np.add(left, right, out=middle)
            np.add(middle, here, out=middle)
            np.take(whole, above, out=room, mode="wrap")
            np.take(whole, below, out=here, mode="wrap")
            np.add(here, room, out=here)
            np.add(here, middle, out=here)
            np.multiply(here, share, out=here)


def cell_strip(label_map: NDArray[np.integer]) -> CellStrip:
    """Create the strip of a label map with at least one cell."""
    runs, cell, steps = _runs_by_steps(label_map)
    row, start, stop = runs
    width = label_map.shape[1] + 2
    # Two runs one pixel apart share the gap between them.
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
    """Return the row, start, stop and cell of all runs, and the steps of each cell, descending."""
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
    """Return the place of each place's neighbour at a key offset, int64[size]; 0 if none.

    Args:
        key: int64[R], the ascending key of each run's first pixel.
        begin: int64[R], where the run begins in the strip, including the gap.
        padded: int64[R], the number of places of the run, including gaps.
        size: The number of places.
        shift: The offset of the neighbour's key.
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
    """Return the first of each cell's pixels that is nearest to its mean position, int64[N].

    Distances are compared as integers, so that ties are exact and the first of several equally near
    pixels is the centre, independent of rounding.
    """
    counts = np.diff(splits)
    owner = np.repeat(np.arange(len(counts)), counts)
    rows, cols = np.repeat(row, length), rle.expand(start, length)
    # Relative to the corner of the cell, so that the squares stay small.
    rows = rows - np.minimum.reduceat(rows, splits[:-1])[owner]
    cols = cols - np.minimum.reduceat(cols, splits[:-1])[owner]
    total_row = np.add.reduceat(rows, splits[:-1])
    total_col = np.add.reduceat(cols, splits[:-1])
    # N |p - mean|^2, without the terms that are the same for all pixels of the cell.
    distance = counts[owner] * (rows**2 + cols**2)
    distance -= 2 * (rows * total_row[owner] + cols * total_col[owner])
    nearest = np.flatnonzero(distance == np.minimum.reduceat(distance, splits[:-1])[owner])
    return nearest[np.flatnonzero(np.diff(owner[nearest], prepend=-1))]
