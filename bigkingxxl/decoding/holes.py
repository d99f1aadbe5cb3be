"""Holes of cells, found run by run for all cells at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle

Int64 = NDArray[np.int64]
LabelMap = NDArray[np.int32]


class Gaps(NamedTuple):
    """Stretches of a row between two runs of one label, sorted by label, row and column.

    Attributes:
        label, row, start, stop: int64[G], half-open.
    """

    label: Int64
    row: Int64
    start: Int64
    stop: Int64

    def chosen(self, which: NDArray[np.bool_]) -> Gaps:
        """Some of them."""
        return Gaps(*(each[which] for each in self))

    def pixels(self, width: int) -> tuple[Int64, Int64]:
        """The label and the flat place of every pixel, int64[P] each."""
        length = self.stop - self.start
        return np.repeat(self.label, length), rle.expand(self.row * width + self.start, length)


def fill_holes(label_map: LabelMap) -> LabelMap:
    """int32[h, w] with what a label encloses (background, smaller cells) given to it.

    A pixel is enclosed when no path over sides leads from it past the label. Labels are filled in
    their order; what one has taken from another is no longer the other's.
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
    """Labels with holes of which one would take pixels of another, in order."""
    clash = (covered > 0) & np.isin(covered, owner)
    return np.unique(np.concatenate((owner[clash], covered[clash])))


def enclosed(label_map: LabelMap, label: int | None = None) -> Gaps:
    """The gaps that lie in holes of their labels, of one label or of all."""
    runs, labels = rle.label_runs(label_map)
    if label is not None:
        runs, labels = runs[labels == label], labels[labels == label]
    order = np.argsort(labels, kind="stable")
    runs, labels = runs[order].astype(np.int64), labels[order].astype(np.int64)
    # One row and one column more than there are keep the lines of cells and rows apart.
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
