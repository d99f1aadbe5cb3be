"""Decode many of COCO's compressed run-length strings at once.

Source: `rleFrString` of the COCO API (`maskApi.c`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle

Int64 = NDArray[np.int64]
MORE, SIGN, BITS = 0x20, 0x10, 5
LONGEST = 11  # characters of a value; more would exceed 2 ** 54, and no image is that large


def read_strings(texts: Sequence[str]) -> tuple[Int64, Int64, NDArray[np.bool_]]:
    """Decode the counts of N compressed strings.

    Returns:
        The counts of all strings, int64[M]; the bounds, int64[N + 1], where the counts of each
        string begin; and whether each string is valid, bool[N] (otherwise its counts are
        meaningless).
    """
    lengths = np.array([len(text) for text in texts], np.int64)
    # One number per character, whatever it is, because '?' is a character of the code.
    raw = "".join(texts).encode("utf-32-le", "surrogatepass")
    code = np.frombuffer(raw, "<u4").astype(np.int64) - 48
    owner = np.repeat(np.arange(len(texts)), lengths)
    well = np.ones(len(texts), bool)
    well[owner[(code < 0) | (code > 63)]] = False
    ends = np.cumsum(lengths)
    final = np.zeros(len(code), bool)
    final[ends[lengths > 0] - 1] = True
    well[owner[final & ((code & MORE) != 0)]] = False
    last = final | ((code & MORE) == 0)
    stops = np.flatnonzero(last)
    first = np.append(0, stops + 1)[: len(stops)]
    used = stops + 1 - first
    well[owner[first[used > LONGEST]]] = False
    place = np.minimum(np.arange(len(code)) - np.repeat(first, used), LONGEST)
    parts = (code & (MORE - 1)) << (BITS * place)
    values = np.add.reduceat(parts, first) if len(first) else np.zeros(0, np.int64)
    sign = np.int64(1) << (BITS * (place[last] + 1))
    values -= np.where(code[last] & SIGN, sign, 0)
    bounds = rle.split_points(np.bincount(owner[first], minlength=len(texts)))
    return _summed(values, bounds), bounds, well


def _summed(values: Int64, bounds: Int64) -> Int64:
    """Restore counts from differences: from the fourth on they refer to the one two before."""
    sizes = np.diff(bounds)
    index = np.arange(len(values)) - np.repeat(bounds[:-1], sizes)
    counts = values.copy()
    for chosen in (index % 2 == 1, (index % 2 == 0) & (index > 0)):
        part = np.flatnonzero(chosen)
        total = np.cumsum(values[part])
        starts = index[part] <= 2
        before = (total - values[part])[starts]
        chains = np.cumsum(starts) - 1
        counts[part] = total - before[chains] if len(part) else total
    return counts


def column_runs(counts: Int64, bounds: Int64, height_width: int) -> tuple[Int64, Int64, Int64]:
    """Return the column-major runs of N codes whose counts each add up to H x W.

    Returns:
        The start, length and owner of each run, int64[R] each.
    """
    sizes = np.diff(bounds)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    index = np.arange(len(counts)) - bounds[owner]
    start = np.cumsum(counts) - counts - owner * height_width
    kept = (index % 2 == 1) & (counts > 0)
    return start[kept], counts[kept], owner[kept]
