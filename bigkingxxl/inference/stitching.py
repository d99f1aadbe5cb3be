"""Stitch the candidates of overlapping windows: no cell is cut at a seam, and none counts twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import Window
from bigkingxxl.inference.selection import masks_above, not_suppressed, soft_areas
from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import connected_runs, iou_pairs, overlaps

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
SAME_CELL = 0.5
HARDLY = 0.1  # fraction of the other score; a candidate with less is not a piece of the other
EDGE = 2  # pixels by which a detector may miss the edge that cuts a cell


def stitch(
    parts: Sequence[Candidates], windows: Sequence[Window], size: tuple[int, int]
) -> Candidates:
    """Merge the candidates of all windows into the frame of the image.

    A candidate that touches an inner edge of its window is a piece. Pieces of two windows that
    agree where the windows overlap are one cell, the union of their soft masks. A piece is
    discarded if another window shows more of the cell. Of two candidates from different windows
    with an IoU above 0.5, one is discarded; a complete cell is preferred to a merged one.
    Candidates of the same window are left to the selection.

    Connected cells are recovered completely if each window predicts them correctly. Masks are
    compared at half of their own maximum.

    Args:
        parts: The candidates of each window, in the frame of the window.
        windows: The windows in the image; neighbours overlap, and they may extend beyond the image.
        size: (H, W) of the image.
    """
    placed = [
        part.shift(window.row0, window.col0, size)
        for part, window in zip(parts, windows, strict=True)
    ]
    everything = Candidates.concatenate(placed)
    if len(windows) == 1 or len(everything) == 0:
        return everything
    window_of = np.repeat(np.arange(len(placed)), [len(part) for part in placed])
    piece = _touches_inner_edge(everything.boxes, np.array(windows)[window_of], size)
    group = _same_cells(everything, window_of, windows, piece)
    merged, members = _merged(everything, group)
    alone = np.bincount(group)[group[members]] == 1
    # A candidate merged from several windows belongs to none of them.
    origin = np.where(alone, window_of[members], -1 - np.arange(len(members)))
    return _without_doubles(merged, origin, piece[members])


def _touches_inner_edge(
    boxes: NDArray[np.int32], windows: Int64, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return whether a candidate ends at a side of its window that is not a side of the image.

    Args:
        boxes: int32[N, 4], the boxes of the candidates.
        windows: int64[N, 4], the window of each candidate.
        size: (H, W) of the image.

    Returns:
        bool[N].
    """
    inner_low = windows[:, :2] > 0
    inner_high = windows[:, 2:] < np.array(size)
    low = (boxes[:, :2] <= windows[:, :2] + EDGE) & inner_low
    high = (boxes[:, 2:] >= windows[:, 2:] - EDGE) & inner_high
    return np.asarray(low.any(axis=1) | high.any(axis=1))


def half_height_masks(candidates: Candidates) -> Instances:
    """Threshold each soft mask at half of its own maximum; the N cells may overlap."""
    return masks_above(candidates, candidates.highest / 510)


def _same_cells(
    candidates: Candidates, window_of: Int64, windows: Sequence[Window], piece: NDArray[np.bool_]
) -> Int64:
    """Give the pieces of one cell the same number: int64[N], one number per candidate."""
    pieces = np.flatnonzero(piece)
    masks, score = half_height_masks(candidates.take(pieces)), candidates.score[pieces]
    bounds = np.searchsorted(window_of[pieces], np.arange(len(windows) + 1))
    inside = [np.arange(a, b) for a, b in pairwise(bounds.tolist())]
    links = [np.zeros((2, 0), np.int64)]
    for one, two, common in overlapping(windows):
        first, second = masks.take(inside[one]), masks.take(inside[two])
        found = agreeing(first.crop(common), second.crop(common), score[inside[one]],
                         score[inside[two]])  # fmt: skip
        links.append(np.stack((inside[one][found[0]], inside[two][found[1]])))
    return rle.connected(len(candidates), *pieces[np.concatenate(links, axis=1)])


def overlapping(windows: Sequence[Window]) -> Iterator[tuple[int, int, Window]]:
    """Yield the pairs of windows that overlap, and their intersection."""
    edges = np.array(windows, np.int64)
    order = np.argsort(edges[:, 0], kind="stable")
    starts = edges[order, 0]
    # A huge image has tens of thousands of windows, so each is compared only with those below it.
    for place, one in enumerate(order.tolist()):
        below = order[place + 1 : np.searchsorted(starts, edges[one, 2])]
        low = np.maximum(edges[one, :2], edges[below, :2])
        high = np.minimum(edges[one, 2:], edges[below, 2:])
        for index in np.flatnonzero((low < high).all(axis=1)).tolist():
            yield one, int(below[index]), Window(*low[index].tolist(), *high[index].tolist())


def agreeing(
    first: Instances, second: Instances, first_score: Float32, second_score: Float32
) -> tuple[Int64, Int64]:
    """Match the cells of two views of the same place; return the indices of each pair.

    Two cells match if a connected part of one and a connected part of the other have an IoU above
    0.5. A cell that leaves a window and comes back has several parts in it, each of which may be a
    candidate there. If several candidates compete for a part, the one with the highest score and
    IoU wins, so that a duplicate or a fragment with a low score is not merged with a confident
    cell.
    """
    ones, owner_of_one = connected_parts(first)
    twos, owner_of_two = connected_parts(second)
    one, two, overlap = iou_pairs(ones, twos)
    scores = first_score[owner_of_one[one]], second_score[owner_of_two[two]]
    same = (overlap > SAME_CELL) & (np.minimum(*scores) >= HARDLY * np.maximum(*scores))
    one, two = one[same], two[same]
    chosen = _one_to_one(one, two, (overlap * scores[0] * scores[1])[same])
    return owner_of_one[one[chosen]], owner_of_two[two[chosen]]


def _one_to_one(one: Int64, two: Int64, likeness: NDArray[np.float64]) -> Int64:
    """Return the indices of the pairs that no better accepted pair shares a member with."""
    taken: tuple[set[int], set[int]] = set(), set()
    chosen = []
    order = np.argsort(-likeness, kind="stable")
    for index, a, b in zip(order.tolist(), one[order].tolist(), two[order].tolist(), strict=True):
        if a not in taken[0] and b not in taken[1]:
            taken[0].add(a)
            taken[1].add(b)
            chosen.append(index)
    return np.array(chosen, np.int64)


def connected_parts(cells: Instances) -> tuple[Instances, Int64]:
    """Split all cells into 4-connected parts; also return the cell of each part."""
    firsts, part = np.unique(connected_runs(cells), return_inverse=True)
    return Instances.from_runs(cells.runs, part, len(firsts), cells.size), cells.run_owner[firsts]


def _merged(candidates: Candidates, group: Int64) -> tuple[Candidates, Int64]:
    """Merge each group into one candidate; also return the first member of each group."""
    alone = np.flatnonzero(np.bincount(group)[group] == 1)
    others = np.flatnonzero(np.bincount(group)[group] > 1)
    others = others[np.argsort(group[others], kind="stable")]
    sets = np.split(others, np.flatnonzero(np.diff(group[others])) + 1) if len(others) else []
    unions = [union(candidates.take(index)) for index in sets]
    first = np.array([index[0] for index in sets], np.int64)
    merged = Candidates.concatenate([candidates.take(alone), *unions])
    return merged, np.concatenate((alone, first))


def union(pieces: Candidates) -> Candidates:
    """Merge the pieces of a cell: the maximum probability at each pixel.

    The score and the type probabilities are means weighted by soft area.
    """
    low, high = pieces.boxes[:, :2].min(axis=0), pieces.boxes[:, 2:].max(axis=0)
    crop = np.zeros((high - low).tolist(), np.uint8)
    for index, box in enumerate(pieces.boxes - np.tile(low, 2)):
        place = crop[Window(*box.tolist()).slices]
        np.maximum(place, pieces.crop(index), out=place)
    weight = np.maximum(soft_areas(pieces), 1e-6)
    types = pieces.type_probability
    mean_types = None if types is None else np.average(types, axis=0, weights=weight)[None]
    score = np.average(pieces.score, weights=weight)
    box = np.concatenate((low, high))[None]
    return Candidates.from_crops(pieces.size, box, [crop], np.array([score]), mean_types,
                                 pieces.type_names)  # fmt: skip


def _without_doubles(candidates: Candidates, origin: Int64, piece: NDArray[np.bool_]) -> Candidates:
    """Discard the candidates that another window shows better; the highest scores come first.

    Args:
        candidates: The candidates.
        origin: int64[N], the window of each candidate.
        piece: bool[N], whether the window cuts the candidate or it was merged from pieces.
    """
    masks, score = half_height_masks(candidates), candidates.score
    areas = masks.areas()
    pairs = overlaps(masks, masks)
    foreign = origin[pairs.first] != origin[pairs.second]
    one, two, common = (each[foreign] for each in pairs)
    shown_better = piece[one] & (common > SAME_CELL * areas[one]) & (areas[two] > areas[one])
    # A candidate with a very low score must not remove a confident one.
    shown_better &= score[two] >= 0.5 * score[one]
    kept = np.ones(len(candidates), bool)
    kept[one[shown_better]] = False
    order = np.argsort(-score * np.where(piece, 1, 2), kind="stable")
    order = order[kept[order]]
    rank = np.full(len(candidates), -1)
    rank[order] = np.arange(len(order))
    same = common > SAME_CELL * (areas[one] + areas[two] - common)
    same &= (rank[one] >= 0) & (rank[one] < rank[two])
    return candidates.take(order[not_suppressed(len(order), rank[one[same]], rank[two[same]])])
