"""Run-length encodings: row runs, Kaggle strings and COCO strings, vectorised in both directions.

A row run is a half-open (row, start, stop): the columns start .. stop - 1 of one row. Kaggle uses
row-major runs and counts pixels from 1. COCO uses column-major run lengths that begin with the
background. Sources: the data page of the Sartorius challenge; the COCO mask API (`maskApi.c`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
BLOCK = 2**18  # pixels or pairs that are processed at once


def expand(starts: Int64, lengths: Int64) -> Int64:
    """Concatenate the integer ranges start .. start + length - 1.

    Args:
        starts: int64[R].
        lengths: int64[R], none of them negative.

    Returns:
        int64[sum(lengths)].
    """
    total = int(lengths.sum())
    steps = np.arange(total, dtype=np.int64)
    steps += np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return steps


def gather(values: NDArray[Any], starts: Int64, lengths: Int64) -> NDArray[Any]:
    """Compute `values[expand(starts, lengths)]` without storing all positions.

    Args:
        values: [P, ...].
        starts: int64[R], the start of each range in `values`.
        lengths: int64[R].
    """
    result = np.empty((int(lengths.sum()), *values.shape[1:]), values.dtype)
    for block, place in blocks(lengths):
        values.take(expand(starts[block], lengths[block]), axis=0, out=result[place], mode="clip")
    return result


def blocks(lengths: Int64) -> Iterator[tuple[slice, slice]]:
    """Split groups into blocks of at most `BLOCK` members, so that memory follows the block.

    A larger group is a block of its own.

    Args:
        lengths: int64[N], the number of members of each group.

    Yields:
        The slices of the block's groups and of their members.
    """
    ends = split_points(lengths)
    first, count = 0, len(lengths)
    while first < count:
        last = int(np.searchsorted(ends, ends[first] + BLOCK, side="right")) - 1
        last = min(max(last, first + 1), count)
        yield slice(first, last), slice(int(ends[first]), int(ends[last]))
        first = last


def split_points(counts: Int64) -> Int64:
    """Return where each of N groups of the given sizes starts, and the end: int64[N + 1]."""
    splits = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=splits[1:])
    return splits


def encode_sorted(owner: Int64, position: Int64, breaks: Int64 | None = None) -> tuple[Int64, ...]:
    """Encode runs of consecutive positions of one owner.

    Args:
        owner: int64[P], sorted.
        position: int64[P], sorted within each owner and without duplicates.
        breaks: int64[P] or None; a run also ends where this value (a row or column) changes.

    Returns:
        The owner, first position and length of each run, int64[R] each.
    """
    if len(position) == 0:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    new = (np.diff(position) != 1) | (np.diff(owner) != 0)
    if breaks is not None:
        new |= np.diff(breaks) != 0
    first = np.concatenate(([0], np.flatnonzero(new) + 1))
    lengths = np.diff(np.concatenate((first, [len(position)])))
    return owner[first], position[first], lengths


def crop_runs(inside: NDArray[np.bool_], boxes: Int32, offsets: Int64) -> tuple[Int32, Int64]:
    """Encode N concatenated crops as row runs in the frame of their image.

    Args:
        inside: bool[P], the crops in row-major order.
        boxes: int32[N, 4], half-open (row0, col0, row1, col1).
        offsets: int64[N + 1], the start of each crop in `inside`.

    Returns:
        The runs, int32[R, 3], sorted within each cell, and the splits, int64[N + 1].
    """
    heights = (boxes[:, 2] - boxes[:, 0]).astype(np.int64)
    widths = (boxes[:, 3] - boxes[:, 1]).astype(np.int64)
    lines = split_points(heights)
    owner = np.repeat(np.arange(len(boxes)), heights)
    line = np.arange(len(owner)) - lines[owner]
    begin = offsets[owner] + line * widths[owner]
    # A run begins and ends where the value changes, and at either end of a line.
    new, last = inside.copy(), inside.copy()
    new[1:] &= ~inside[:-1]
    last[:-1] &= ~inside[1:]
    some = widths[owner] > 0
    edge = begin[some]
    new[edge] = inside[edge]
    edge = edge + widths[owner[some]] - 1
    last[edge] = inside[edge]
    start, stop = np.flatnonzero(new), np.flatnonzero(last) + 1
    # Of lines without columns that begin at the same place the last one has the pixels.
    place = np.searchsorted(begin, start, side="right") - 1
    runs = np.empty((len(start), 3), np.int32)
    cell, shift = owner[place], begin[place]
    runs[:, 0] = boxes[cell, 0] + line[place]
    runs[:, 1] = boxes[cell, 1] + start - shift
    runs[:, 2] = boxes[cell, 1] + stop - shift
    return runs, split_points(np.bincount(cell, minlength=len(boxes)))


def rows_from_flat(starts: Int64, lengths: Int64, width: int) -> tuple[Int32, Int64]:
    """Row-major flat runs (first pixel 0) as row runs; a run over a row's end becomes several.

    Returns:
        runs: int32[R, 3], and source: int64[R], the index of the flat run each came from.
    """
    first_row = starts // width
    last_row = (starts + lengths - 1) // width
    if (first_row == last_row).all() and (lengths > 0).all():
        col = starts - first_row * width
        runs = np.stack((first_row, col, col + lengths), axis=1).astype(np.int32)
        return runs, np.arange(len(starts))
    pieces = np.where(lengths > 0, last_row - first_row + 1, 0)
    source = np.repeat(np.arange(len(starts)), pieces)
    row = expand(first_row, pieces)
    begin = np.maximum(starts[source], row * width)
    end = np.minimum(starts[source] + lengths[source], (row + 1) * width)
    runs = np.stack((row, begin - row * width, end - row * width), axis=1).astype(np.int32)
    return runs, source


def label_runs(label_map: NDArray[Any]) -> tuple[Int32, NDArray[Any]]:
    """Row runs of equal labels of an integer label map [H, W], 0 = background, row by row.

    Returns:
        runs: int32[R, 3], and label: [R] in the label map's own dtype.
    """
    width = max(label_map.shape[1], 1)
    flat = label_map.ravel()
    new = np.ones(flat.shape, bool)
    np.not_equal(flat[1:], flat[:-1], out=new[1:])
    new[::width] = True
    first = np.flatnonzero(new)
    length = np.diff(first, append=flat.size)
    label = flat[first]
    cells = label != 0
    first, length = first[cells], length[cells]
    runs = np.empty((len(first), 3), np.int32)
    runs[:, 0] = row = first // width
    runs[:, 1] = col = first - row * width
    runs[:, 2] = col + length
    return runs, label[cells]


def adjacent(start: Int64, stop: Int64, step: int, *, corners: bool = False) -> tuple[Int64, Int64]:
    """Find pairs of runs where the second touches the first from the next row.

    Args:
        start: int64[R], the sorted starts of the runs on a number line that holds all rows, with a
            gap between rows.
        stop: int64[R], the ends of the runs (half-open).
        step: The distance of two rows on that line.
        corners: Whether runs that meet only at a corner count as touching.

    Returns:
        The upper and the lower run of each pair, int64[K] each.
    """
    low, high = ("left", "right") if corners else ("right", "left")
    first = np.searchsorted(stop, start + step, side=low)  # type: ignore[call-overload]
    last = np.searchsorted(start, stop + step, side=high)  # type: ignore[call-overload]
    touching = np.maximum(last - first, 0)
    return np.repeat(np.arange(len(start)), touching), expand(first, touching)


def connected(count: int, one: Int64, two: Int64) -> Int64:
    """Compute the connected components of a graph.

    Args:
        count: The number of nodes.
        one: int64[E], the first node of each edge.
        two: int64[E], the second node of each edge.

    Returns:
        int64[count], the smallest node of each node's component.

    Source: Zhang, Azad and Hu 2020, FastSV.
    """
    parent = np.arange(count)
    while True:
        above = parent[parent]
        lower = np.minimum(above[one], above[two])
        found = above.copy()
        for ends in (one, two):
            np.minimum.at(found, parent[ends], lower)
            np.minimum.at(found, ends, lower)
        if np.array_equal(found, parent):
            return parent
        parent = found


def kaggle_pairs(text: str) -> Int64:
    """Parse a Kaggle annotation into int64[R, 2]: first pixel (counted from 1) and length.

    Raises:
        ValueError: A value is not an integer, the number of values is odd, or a start or length is
            below 1; the message says which.
    """
    tokens = text.split()
    if len(tokens) % 2:
        raise ValueError(f"an odd count of numbers ({len(tokens)}), expected start-length pairs")
    try:
        pairs = np.array(tokens, dtype=np.int64).reshape(-1, 2)
    except (ValueError, OverflowError):
        bad = next(token for token in tokens if not _is_whole(token))
        raise ValueError(f"'{bad}' is not a whole number") from None
    if (pairs < 1).any():
        raise ValueError(f"the value {int(pairs[pairs < 1][0])}, starts and lengths are 1 or more")
    return pairs


def _is_whole(token: str) -> bool:
    try:
        return abs(int(token)) < 2**63
    except ValueError:
        return False


def kaggle_strings(runs: Int32, splits: Int64, width: int) -> list[str]:
    """Encode N instances, given as sorted row runs, as Kaggle annotations.

    Runs that continue in the next row are joined, as in Kaggle's own encoder.
    """
    starts = runs[:, 0].astype(np.int64) * width + runs[:, 1] + 1
    lengths = (runs[:, 2] - runs[:, 1]).astype(np.int64)
    count = len(splits) - 1
    owner = np.repeat(np.arange(count), np.diff(splits))
    if len(starts) == 0:
        return [""] * count
    joins = (starts[1:] == starts[:-1] + lengths[:-1]) & (owner[1:] == owner[:-1])
    first = np.flatnonzero(np.concatenate(([True], ~joins)))
    lengths = np.add.reduceat(lengths, first)
    bounds = np.searchsorted(owner[first], np.arange(count + 1))
    letters, used = _decimals(np.stack((starts[first], lengths), axis=1).ravel())
    ends = split_points(used)[2 * bounds]
    text = letters.tobytes().decode("ascii")
    return [text[a:b].rstrip() for a, b in pairwise(ends.tolist())]


def _decimals(values: Int64) -> tuple[NDArray[np.uint8], Int64]:
    """Format non-negative values as decimals followed by a space; also return their lengths."""
    digits = len(str(int(values.max(initial=0))))
    letters = np.full((digits + 1, len(values)), ord(" "), np.uint8)
    used = np.full(len(values), 2, np.int64)
    rest: NDArray[Any] = values.astype(np.int32) if digits < 10 else values
    for place in range(digits - 1, -1, -1):
        rest, whole = rest // 10, rest
        letters[place] = whole - 10 * rest + ord("0")
        if place:
            used += rest > 0
    kept = np.arange(digits + 1)[:, None] > digits - used
    return letters.T[kept.T], used


def _column_runs(runs: Int32, splits: Int64, height: int) -> tuple[Int64, Int64, Int64]:
    """Convert the row runs of N instances to column-major runs: owner, first position, length."""
    some = np.flatnonzero(np.diff(splits))
    if not len(some):
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    owner = np.repeat(np.arange(len(some)), np.diff(splits)[some])
    left = np.minimum.reduceat(runs[:, 1], splits[some]).astype(np.int64)
    right = np.maximum.reduceat(runs[:, 2], splits[some])
    top, bottom = runs[splits[some], 0].astype(np.int64), runs[splits[some + 1] - 1, 0]
    # Each cell is drawn into a box of its own, column after column with a free pixel in between.
    # The boxes follow one another, so that the edges come out sorted.
    step = bottom - top + 2
    boxes = split_points((right - left) * step)
    lengths = (runs[:, 2] - runs[:, 1]).astype(np.int64)
    strides = step[owner]
    first = (boxes[:-1] - left * step - top)[owner] + runs[:, 1] * strides + runs[:, 0]
    # Within a run, consecutive pixels are one column apart; between runs, add the remaining
    # distance.
    moves = np.repeat(strides, lengths)
    last = first + (lengths - 1) * strides
    moves[np.cumsum(lengths) - lengths] = first - np.concatenate(([-1], last[:-1]))
    inside = np.zeros(int(boxes[-1]) + 1, bool)
    inside[np.cumsum(moves)] = True
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    box = np.searchsorted(boxes, edges[0::2], side="right") - 1
    col, row = np.divmod(edges[0::2] - boxes[box], step[box])
    start, length = (col + left[box]) * height + row + top[box], edges[1::2] - edges[0::2]
    # A column that ends at the bottom of the image may continue at the top of the next one.
    new = (start[1:] != start[:-1] + length[:-1]) | (box[1:] != box[:-1])
    joined = np.flatnonzero(np.concatenate(([True], new)))
    return some[box[joined]], start[joined], np.add.reduceat(length, joined)


def column_counts(runs: Int32, splits: Int64, size: tuple[int, int]) -> tuple[Int64, Int64]:
    """Compute COCO's uncompressed counts (column-major, background first) of N instances.

    Returns:
        The counts of all instances, int64[M], and their bounds, int64[N + 1].
    """
    height, width = size
    count = len(splits) - 1
    run_owner, start, length = _column_runs(runs, splits, height)
    runs_per = np.bincount(run_owner, minlength=count)
    edges, some = split_points(runs_per), runs_per > 0
    previous_end = np.concatenate(([0], (start + length)[:-1]))
    previous_end[edges[:-1][some]] = 0
    last_end = np.zeros(count, np.int64)
    last_end[some] = (start + length)[edges[1:][some] - 1]
    tail = last_end < height * width
    bounds = split_points(2 * runs_per + tail)
    counts = np.empty(bounds[-1], np.int64)
    place = expand(bounds[:-1], 2 * runs_per)
    counts[place] = np.stack((start - previous_end, length), axis=1).ravel()
    counts[bounds[1:][tail] - 1] = (height * width - last_end)[tail]
    return counts, bounds


def coco_strings(runs: Int32, splits: Int64, size: tuple[int, int]) -> list[str]:
    """Encode N instances, given as row runs within `size` (H, W), as COCO's compressed strings."""
    counts, bounds = column_counts(runs, splits, size)
    index = np.arange(len(counts)) - np.repeat(bounds[:-1], np.diff(bounds))
    delta = counts.copy()
    later = index > 2
    delta[later] -= counts[np.flatnonzero(later) - 2]
    letters, used = _letters(delta)
    ends = split_points(used)[bounds]
    text = letters.tobytes().decode("ascii")
    return [text[a:b] for a, b in pairwise(ends.tolist())]


def _letters(values: Int64) -> tuple[NDArray[np.uint8], Int64]:
    """Encode signed values as characters of 5 bits, low bits first; also return their lengths."""
    used = np.ones(len(values), np.int64)
    rest, index = values, np.arange(len(values))
    pieces = []
    while len(index):
        bits, rest = rest & 0x1F, rest >> 5
        # The highest bit of the last character is the sign of the value.
        more = rest != -(bits >> 4)
        pieces.append((index, bits + 48 + 32 * more))
        index, rest = index[more], rest[more]
        used[index] += 1
    first = split_points(used)
    letters = np.empty(int(first[-1]), np.uint8)
    for place, (index, codes) in enumerate(pieces):
        letters[first[index] + place] = codes
    return letters, used
