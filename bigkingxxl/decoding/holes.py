"""Fill the holes of cells, using runs, for all cells at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle

Int64 = NDArray[np.int64]
LabelMap = NDArray[np.int32]


class Gaps(NamedTuple):
    """Gaps in a row between two runs of one label, sorted by label, row and column.

    Attributes:
        label: int64[G], the label on both sides.
        row: int64[G].
        start: int64[G], the first column.
        stop: int64[G], one past the last column.
    """

    label: Int64
    row: Int64
    start: Int64
    stop: Int64

    def chosen(self, which: NDArray[np.bool_]) -> Gaps:
        """Select gaps."""
        return Gaps(*(each[which] for each in self))

    def pixels(self, width: int) -> tuple[Int64, Int64]:
        """Return the label and the flat position of every pixel, int64[P] each."""
        length = self.stop - self.start
        return np.repeat(self.label, length), rle.expand(self.row * width + self.start, length)


def fill_holes(label_map: LabelMap) -> LabelMap:
    """Assign the pixels that a label encloses (background, smaller cells) to it: int32[h, w].

    A pixel is enclosed if every 4-connected path from it to the border crosses the label. Labels
    are filled in order; a pixel that one label takes from another no longer belongs to the other.
    """
    holes = enclosed(label_map)
    if not len(holes.label):
        return label_map
    filled = label_map.copy()
    flat = filled.reshape(-1)
    owner, pixel = holes.pixels(label_map.shape[1])
    entangled = _entangled(owner, flat[pixel])
    alone = ~np.isin(owner, entangled)
    flat[pixel[alone]] = owner[alone]
    for label in entangled.tolist():
        owner, pixel = enclosed(filled, label).pixels(label_map.shape[1])
        flat[pixel] = owner
    return filled


def _entangled(owner: Int64, covered: LabelMap) -> Int64:
    """Return, in order, the labels with holes that contain pixels of other labels with holes."""
    clash = (covered > 0) & np.isin(covered, owner)
    return np.unique(np.concatenate((owner[clash], covered[clash])))


def enclosed(label_map: LabelMap, label: int | None = None) -> Gaps:
    """Return the gaps that lie in holes of one label, or of all labels."""
    runs, labels = rle.label_runs(label_map)
    if label is not None:
        runs, labels = runs[labels == label], labels[labels == label]
    order = np.argsort(labels, kind="stable")
    runs, labels = runs[order].astype(np.int64), labels[order].astype(np.int64)
    # An extra row and column separate the number lines of cells and rows.
    height, width = label_map.shape[0] + 2, label_map.shape[1] + 1
    line = labels * height + runs[:, 0]
    gap = np.flatnonzero(line[1:] == line[:-1])
    gaps = Gaps(labels[gap], runs[gap, 0], runs[gap, 2], runs[gap + 1, 1])
    if not len(gap):
        return gaps
    first = np.flatnonzero(np.diff(line, prepend=-1))
    lines, low = line[first], runs[first, 1]
    high = runs[np.append(first[1:], len(line)) - 1, 2]
    is_open = np.zeros(len(gap), bool)
    for step in (-1, 1):
        beside = np.searchsorted(lines, line[gap] + step)
        beside[beside == len(lines)] = 0
        is_open |= lines[beside] != line[gap] + step
        is_open |= (gaps.start < low[beside]) | (gaps.stop > high[beside])
    start, stop = line[gap] * width + gaps.start, line[gap] * width + gaps.stop
    part = rle.connected(len(gap), *rle.adjacent(start, stop, width))
    leads_out = np.bincount(part[is_open], minlength=len(gap)) > 0
    return gaps.chosen(~leads_out[part])
