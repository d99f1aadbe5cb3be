"""How much the cells of two sets overlap, as pairs: computed once, used by many."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.errors import InputError
from bigkingxxl.instances import Instances

Int64 = NDArray[np.int64]


class Overlaps(NamedTuple):
    """The pairs of cells that share pixels, sorted by (first, second).

    Attributes:
        first, second: int64[K], the cells of each pair; pixels: int64[K], how many they share.
    """

    first: Int64
    second: Int64
    pixels: Int64


def overlaps(first: Instances, second: Instances, *, disjoint: bool = False) -> Overlaps:
    """The overlapping pairs of two sets over the same image, found run by run, counted exactly.

    Args:
        disjoint: whether the cells of `second` must not share pixels with each other.

    Raises:
        ValueError: the two belong to images of different sizes.
        InputError: cells of `second` share a pixel where they must not.
    """
    if first.size != second.size:
        raise ValueError(f"cells of {first.size} and of {second.size} pixels cannot be compared")
    start, stop = _flat(first)
    other_start, other_stop = _flat(second)
    order = np.argsort(other_start, kind="stable")
    other_start, other_stop = other_start[order], other_stop[order]
    if disjoint:
        _check_apart(other_start, other_stop, second.size[1])
    # Where runs of `second` overlap, the furthest stop so far keeps the search sound.
    reach = other_stop if disjoint else np.maximum.accumulate(other_stop)
    low = np.searchsorted(reach, start, side="right")
    high = np.searchsorted(other_start, stop, side="left")
    meets = np.maximum(high - low, 0)
    one, two = np.repeat(np.arange(len(start)), meets), rle.expand(low, meets)
    shared = np.minimum(stop[one], other_stop[two]) - np.maximum(start[one], other_start[two])
    pair = first.run_owner[one] * max(len(second), 1) + second.run_owner[order][two]
    if not disjoint:
        pair, shared = pair[shared > 0], shared[shared > 0]
    return _summed(pair, shared, max(len(second), 1))


def _check_apart(start: Int64, stop: Int64, width: int) -> None:
    """Refuse sorted flat runs of which two share a pixel."""
    clash = np.flatnonzero(start[1:] < stop[:-1])
    if len(clash):
        row, col = divmod(int(start[clash[0] + 1]), width)
        raise InputError(f"cells overlap at row {row}, column {col}, expected disjoint ones")


def _flat(cells: Instances) -> tuple[Int64, Int64]:
    """First flat position of each run, and the one after its last, int64[R] each."""
    row = cells.runs[:, 0].astype(np.int64) * cells.size[1]
    return row + cells.runs[:, 1], row + cells.runs[:, 2]


def _summed(pair: Int64, pixels: Int64, columns: int) -> Overlaps:
    if not len(pair):
        return Overlaps(pair, pair, pixels)
    order = np.argsort(pair, kind="stable")
    pair = pair[order]
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    first, second = np.divmod(pair[starts], columns)
    return Overlaps(first, second, np.add.reduceat(pixels[order], starts))


def iou_pairs(first: Instances, second: Instances) -> tuple[Int64, Int64, NDArray[np.float64]]:
    """The pairs that overlap, int64[K] each, and their intersection over union, float64[K].

    Raises:
        ValueError: the two belong to images of different sizes.
    """
    one, two, shared = overlaps(first, second)
    union = first.areas()[one] + second.areas()[two] - shared
    return one, two, shared / union
