"""Candidates of overlapping windows made one: no cell cut at a seam, none counted twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import Window
from bigkingxxl.inference.selection import mask_nms, masks_above
from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import intersections

SAME_CELL = 0.5


def stitch(
    parts: Sequence[Candidates], windows: Sequence[Window], size: tuple[int, int]
) -> Candidates:
    """All candidates of one image, in its frame.

    A candidate that touches a window's inner edge is a piece. Pieces and whole candidates of two
    windows that agree where both looked (their intersection covers at least half of what either
    has inside the other's window) are one cell, the union of their soft masks; a whole candidate
    outweighs the pieces of it.

    Args:
        parts: candidates of each window, in the window's own frame.
        windows: in the image, overlapping; they may reach beyond it.
    """
    placed = [
        part.shift(window.row0, window.col0, size)
        for part, window in zip(parts, windows, strict=True)
    ]
    everything = Candidates.concatenate(placed)
    if len(windows) == 1 or len(everything) == 0:
        return everything
    window_of = np.repeat(np.arange(len(placed)), [len(part) for part in placed])
    piece = _touches_inner_edge(everything.boxes, [windows[i] for i in window_of], size)
    group = _same_cells(everything, window_of, windows, piece)
    merged = _merge_groups(everything, group, piece)
    order = np.argsort(-merged.score, kind="stable")
    merged = merged.take(order)
    masks = masks_above(merged, np.full(len(merged), 0.5))
    return merged.take(mask_nms(masks, np.full(len(merged), SAME_CELL)))


def _touches_inner_edge(
    boxes: NDArray[np.int32], windows: Sequence[Window], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """bool[N]: the candidate ends at a side of its window that is not a side of the image."""
    edges = np.array(windows, np.int64).reshape(-1, 4)
    inner_low = edges[:, :2] > 0
    inner_high = edges[:, 2:] < np.array(size)
    low = (boxes[:, :2] <= edges[:, :2]) & inner_low
    high = (boxes[:, 2:] >= edges[:, 2:]) & inner_high
    return np.asarray(low.any(axis=1) | high.any(axis=1))


def _same_cells(
    candidates: Candidates,
    window_of: NDArray[np.int64],
    windows: Sequence[Window],
    piece: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """int64[N]: candidates with the same number are one cell."""
    masks = masks_above(candidates, np.full(len(candidates), 0.5))
    shared = intersections(masks, masks).tocoo()
    pairs = (shared.row < shared.col) & (window_of[shared.row] != window_of[shared.col])
    pairs &= piece[shared.row] | piece[shared.col]
    first, second, common = shared.row[pairs], shared.col[pairs], shared.data[pairs]
    inside_second = _area_inside(masks, first, [windows[i] for i in window_of[second]])
    inside_first = _area_inside(masks, second, [windows[i] for i in window_of[first]])
    union = inside_second + inside_first - common
    same = common >= SAME_CELL * np.maximum(union, 1)
    count = len(candidates)
    links = sparse.coo_matrix((np.ones(same.sum()), (first[same], second[same])), (count, count))
    _, group = connected_components(links, directed=False)
    return group.astype(np.int64)


def _area_inside(
    masks: Instances, index: NDArray[np.int64], windows: Sequence[Window]
) -> NDArray[np.float64]:
    """float64[M]: pixels of mask index[m] that lie inside window m."""
    result = np.zeros(len(index))
    for position, (cell, window) in enumerate(zip(index, windows, strict=True)):
        runs = masks.runs[masks.splits[cell] : masks.splits[cell + 1]]
        rows = (runs[:, 0] >= window.row0) & (runs[:, 0] < window.row1)
        length = np.minimum(runs[:, 2], window.col1) - np.maximum(runs[:, 1], window.col0)
        result[position] = np.maximum(length[rows], 0).sum()
    return result


def _merge_groups(
    candidates: Candidates, group: NDArray[np.int64], piece: NDArray[np.bool_]
) -> Candidates:
    """One candidate a group: its best whole member, or the union of its pieces."""
    alone = np.bincount(group)[group] == 1
    kept = [candidates.take(alone)]
    order = np.argsort(group[~alone], kind="stable")
    members = np.flatnonzero(~alone)[order]
    for index in np.split(members, np.flatnonzero(np.diff(group[members])) + 1):
        if len(index) == 0:
            continue
        whole = index[~piece[index]]
        if len(whole):
            kept.append(candidates.take([int(whole[np.argmax(candidates.score[whole])])]))
        else:
            kept.append(union(candidates.take(index)))
    return Candidates.concatenate(kept)


def union(pieces: Candidates) -> Candidates:
    """One candidate from the pieces of a cell: the larger probability at each pixel.

    The score and the type probabilities are means weighted by area.
    """
    low, high = pieces.boxes[:, :2].min(axis=0), pieces.boxes[:, 2:].max(axis=0)
    crop = np.zeros((high - low).tolist(), np.uint8)
    for index, box in enumerate(pieces.boxes - np.tile(low, 2)):
        place = crop[Window(*box.tolist()).slices]
        np.maximum(place, pieces.crop(index), out=place)
    weight = np.diff(pieces.offsets).astype(np.float64)
    types = pieces.type_probability
    mean_types = None if types is None else np.average(types, axis=0, weights=weight)[None]
    score = np.average(pieces.score, weights=weight)
    box = np.concatenate((low, high))[None]
    return Candidates.from_crops(pieces.size, box, [crop], np.array([score]), mean_types,
                                 pieces.type_names)  # fmt: skip
