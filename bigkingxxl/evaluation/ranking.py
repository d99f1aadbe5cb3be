"""Rank scored detections and decide which of them hit an annotated cell, as in COCO.

At each IoU threshold, every detection takes the free annotated cell with the highest IoU that
reaches the threshold. An area class counts the cells of that class; detections that hit a cell of
another class, or hit nothing and have another size, are ignored there. Cells are compared by sparse
overlaps, and all ten thresholds are decided at once, as bits.

Source: pycocotools, `COCOeval.evaluateImg` and `accumulate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import Overlaps

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
THRESHOLDS_PERCENT: tuple[int, ...] = tuple(range(50, 100, 5))
RECALLS = np.linspace(0, 1, 101)
# COCO's area classes in pixels; a cell of exactly an edge belongs to both classes.
AREAS = ("all", "small", "medium", "large")
AREA_EDGES = ((0, 10**10), (0, 32**2), (32**2, 96**2), (96**2, 10**10))


@dataclass(frozen=True, eq=False)
class Ranked:
    """The detections of one image by descending score, for A area classes and T thresholds.

    Attributes:
        score: float64[D].
        kind: int64[D], their types; -1 for a type that is not counted.
        rank: int64[D], the number of better detections of the same image and type.
        hit: bool[A, T, D].
        ignored: bool[A, T, D].
        cells: int64[A, C], the number of annotated cells of each area class and type.
    """

    score: Float64
    kind: Int64
    rank: Int64
    hit: Bool
    ignored: Bool
    cells: Int64

    @classmethod
    def concatenate(cls, parts: Sequence[Ranked]) -> Ranked:
        """Merge the detections of several images by descending score; ties keep the image order."""
        score = np.concatenate([part.score for part in parts])
        order = np.argsort(-score, kind="stable")
        return cls(
            score[order],
            np.concatenate([part.kind for part in parts])[order],
            np.concatenate([part.rank for part in parts])[order],
            np.concatenate([part.hit for part in parts], axis=2)[..., order],
            np.concatenate([part.ignored for part in parts], axis=2)[..., order],
            np.sum([part.cells for part in parts], axis=0),
        )

    def split(self, images: int, types: int) -> list[Ranked]:
        """Undo `concatenate` for detections whose kinds are numbered across the images."""
        image, kind = np.divmod(self.kind, types)
        order = np.argsort(image, kind="stable")
        ends = np.cumsum(np.bincount(image, minlength=images))[:-1]
        columns = (self.score, kind, self.rank, self.hit, self.ignored)
        parts = (np.split(each[..., order], ends, axis=-1) for each in columns)
        cells = np.split(self.cells, images, axis=1)
        return [Ranked(*each) for each in zip(*parts, cells, strict=True)]


def ranked(
    pairs: Overlaps, truth_areas: Int64, areas: Int64, score: Float64 | None, truth_kind: Int64,
    kind: Int64, *, types: int, most: int, classes: int = len(AREAS),
) -> Ranked:  # fmt: skip
    """Rank the detections of one image and decide which of them are hits.

    Args:
        pairs: The pairs of an annotated cell and a detection that share pixels.
        truth_areas: int64[N], the areas of annotated cells.
        areas: int64[M], the areas of detections.
        score: float64[M]; None if all are equal.
        truth_kind: int64[N], the type of each cell; -1 for a type that is not counted.
        kind: int64[M], the type of each detection; -1 for a type that is not counted.
        types: The number of types.
        most: The number of detections of a type that count.
        classes: The number of area classes, the first ones of `AREAS`.
    """
    sure = np.ones(len(areas)) if score is None else score
    order = np.argsort(-sure, kind="stable")
    order = order[(areas[order] > 0) & (kind[order] >= 0)]
    rank = _ranks(kind[order])
    order, rank = order[rank < most], rank[rank < most]
    place = np.full(len(areas), -1)
    place[order] = np.arange(len(order))
    union = truth_areas[pairs.first] + areas[pairs.second] - pairs.pixels
    # In integers, so that an IoU of exactly a threshold is a hit.
    level = np.clip(
        (100 * pairs.pixels - 50 * union) // (5 * union) + 1, 0, len(THRESHOLDS_PERCENT)
    )
    same = truth_kind[pairs.first] == kind[pairs.second]
    some = np.flatnonzero((level > 0) & same & (place[pairs.second] >= 0))
    first, second = pairs.first[some], place[pairs.second[some]]
    iou = pairs.pixels[some] / union[some]
    edges = np.array(AREA_EDGES[:classes])
    outside = (truth_areas < edges[:, :1]) | (truth_areas > edges[:, 1:])
    found = [_matched(first, second, iou, level[some], out, len(order)) for out in outside]
    bits = 1 << np.arange(len(THRESHOLDS_PERCENT))[:, None]
    hit = np.array([(real & bits) > 0 for real, _ in found])
    other = np.array([(ignored & bits) > 0 for _, ignored in found])
    detected = areas[order]
    strange = (detected < edges[:, :1]) | (detected > edges[:, 1:])
    cells = np.array(
        [np.bincount(truth_kind[~out & (truth_kind >= 0)], minlength=types) for out in outside]
    )
    return Ranked(
        sure[order].astype(np.float64), kind[order], rank, hit,
        other | (~hit & strange[:, None]), cells,
    )  # fmt: skip


def _ranks(kind: Int64) -> Int64:
    """Count the earlier items of the same kind, int64[D]."""
    order = np.argsort(kind, kind="stable")
    ordered = kind[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return rank


def _matched(
    first: Int64, second: Int64, iou: Float64, level: Int64, outside: Bool, count: int
) -> tuple[Int64, Int64]:
    """Return the thresholds, as bits, at which detections hit cells inside and outside a class.

    Args:
        first: int64[K], the cell of each pair.
        second: int64[K], the detection (by rank) of each pair.
        iou: float64[K].
        level: int64[K], the number of thresholds that each pair reaches.
        outside: bool[N], the cells of another class.
        count: The number of detections.
    """
    real, ignored = np.zeros(count, np.int64), np.zeros(count, np.int64)
    if not len(first):
        return real, ignored
    bits = (1 << level) - 1
    contested = (np.bincount(first) > 1)[first] | (np.bincount(second) > 1)[second]
    clear = ~contested
    within = ~outside[first]
    real[second[clear & within]] = bits[clear & within]
    ignored[second[clear & ~within]] = bits[clear & ~within]
    # By detection; cells of the class first, then by descending IoU; of equal ones the last.
    rest = np.flatnonzero(contested)
    rest = rest[np.lexsort((-first[rest], -iou[rest], ~within[rest], second[rest]))]
    taken: dict[int, int] = {}
    columns = (first[rest], second[rest], bits[rest], within[rest])
    for cell, detection, offer, counts in zip(*(c.tolist() for c in columns), strict=True):
        got = offer & ~taken.get(cell, 0) & ~int(real[detection] | ignored[detection])
        if got:
            taken[cell] = taken.get(cell, 0) | got
            (real if counts else ignored)[detection] |= got
    return real, ignored


def curves(
    detections: Ranked, area: int, kind: int, weight: Float64 | None = None,
    most: int | None = None, cells: float | None = None,
) -> tuple[Float64, Float64] | None:  # fmt: skip
    """Compute precision at COCO's recalls, float64[T, 101], and the highest recall, float64[T].

    Args:
        detections: The detections of all images.
        area: The area class.
        kind: The type.
        weight: float64[D], how often each detection counts.
        most: The number of detections of an image that count.
        cells: The number of annotated cells.

    Returns:
        None if there are no annotated cells.
    """
    total = float(detections.cells[area, kind]) if cells is None else cells
    if total <= 0:
        return None
    some: Bool | slice = slice(None)
    if most is not None:
        some = (detections.kind == kind) & (detections.rank < most)
    elif detections.cells.shape[1] > 1:
        some = detections.kind == kind
    share = (np.ones(len(detections.score)) if weight is None else weight)[some]
    hit, ignored = detections.hit[area][:, some], detections.ignored[area][:, some]
    every = None if ignored.any() else np.cumsum(share)
    result, highest = np.zeros((len(hit), len(RECALLS))), np.zeros(len(hit))
    for place in range(len(hit)):
        counted = share if every is not None else np.where(ignored[place], 0, share)
        # Recall increases, and precision has its maxima, only at hits.
        at = np.flatnonzero(hit[place])
        found = np.cumsum(counted[at])
        ranks = (np.cumsum(counted) if every is None else every)[at]
        precision = np.divide(found, ranks, out=np.zeros_like(found), where=ranks > 0)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        first = np.searchsorted(found / total, RECALLS, side="left")
        reached = first < len(at)
        result[place, reached] = precision[first[reached]]
        highest[place] = found[-1] / total if len(at) else 0
    return result, highest


def places(cells: Instances, types: Sequence[str]) -> Int64:
    """Return the index of each cell's type, int64[N]; -1 for another type."""
    place = {name: number for number, name in enumerate(types)}
    known = np.array([place.get(name, -1) for name in cells.type_names], np.int64)
    return known[cells.cell_type]
