"""Scored detections, the surest first, and which of them hit an annotated cell as COCO decides it.

At each IoU threshold every detection takes, of the cells that nobody took, the one of the highest
IoU that reaches the threshold. A class of area counts the cells of that class; what hits another,
or hits nothing and is of another size, is left out there. Cells are compared by sparse overlaps and
all ten thresholds are decided at once, as bits.

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
# COCO's classes of area in pixels; a cell of exactly an edge is in both.
AREAS = ("all", "small", "medium", "large")
AREA_EDGES = ((0, 10**10), (0, 32**2), (32**2, 96**2), (96**2, 10**10))


@dataclass(frozen=True, eq=False)
class Ranked:
    """One image's detections, the surest first, for A classes of area and T thresholds.

    Attributes:
        score: float64[D]; kind: int64[D], their types, -1 for none that is counted.
        rank: int64[D], how many of the image and type are surer.
        hit, ignored: bool[A, T, D].
        cells: int64[A, C], annotated cells of each class and type.
    """

    score: Float64
    kind: Int64
    rank: Int64
    hit: Bool
    ignored: Bool
    cells: Int64

    @classmethod
    def concatenate(cls, parts: Sequence[Ranked]) -> Ranked:
        """The detections of several images, the surest first, of equals the first image's."""
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
        """What `concatenate` joins, of detections whose kinds are numbered through by image."""
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
    """One image's detections and which of them hit.

    Args:
        pairs: annotated and detected cells that share pixels; truth_areas, areas: of all cells.
        score: float64[M], None where all are equally sure.
        truth_kind, kind: int64[N] and int64[M], the type of each, -1 for none that is counted.
        types: how many there are; most: detections of a type that count.
        classes: of area, the first so many of `AREAS`.
    """
    sure = np.ones(len(areas)) if score is None else score
    order = np.argsort(-sure, kind="stable")
    order = order[(areas[order] > 0) & (kind[order] >= 0)]
    rank = _ranks(kind[order])
    order, rank = order[rank < most], rank[rank < most]
    place = np.full(len(areas), -1)
    place[order] = np.arange(len(order))
    union = truth_areas[pairs.first] + areas[pairs.second] - pairs.pixels
    # Whole numbers: an IoU of exactly a threshold is a hit, whatever floats make of it.
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
    """int64[D]: how many of the same kind come before."""
    order = np.argsort(kind, kind="stable")
    ordered = kind[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return rank


def _matched(
    first: Int64, second: Int64, iou: Float64, level: Int64, outside: Bool, count: int
) -> tuple[Int64, Int64]:
    """Thresholds as bits at which each detection hits a cell of the class, and one outside it.

    Args:
        first, second: int64[K], cell and detection (by rank) of each pair; level: int64[K], how
            many thresholds it reaches; outside: bool[N], cells of another class.
        count: how many detections there are.
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
    # Detection by detection; cells of the class first, then the highest IoU, of equals the last.
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
    """Precision float64[T, 101] at each of COCO's recalls, and the highest recall float64[T].

    Args:
        detections: of all images; area, kind: which class and type.
        weight: float64[D], how often each detection counts.
        most: detections of an image that count; cells: how many there are to be found.
    Returns:
        None where there is nothing to be found.
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
        # Recall rises and precision is highest where a detection hits: the others need no look.
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
    """int64[N]: which of some types each cell has, -1 for none of them."""
    place = {name: number for number, name in enumerate(types)}
    known = np.array([place.get(name, -1) for name in cells.type_names], np.int64)
    return known[cells.cell_type]
