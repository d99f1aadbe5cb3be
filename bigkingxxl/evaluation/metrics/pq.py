"""Panoptic quality: how many cells are found, times how well these are outlined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.metrics.base import Float64, Metric, Value, divided
from bigkingxxl.evaluation.pairing import ImagePair


class PanopticQuality(Metric):
    """PQ = SQ x DQ over pairs of an IoU above a half, which are one to one by themselves."""

    name = "pq"
    title = "panoptic quality"
    formula = "PQ = SQ x DQ = (sum of IoU of TP / TP) x (TP / (TP + FP/2 + FN/2)), TP: IoU > 0.5"
    accepts = "disjoint predicted cells; cell types are ignored (see pq-type)"
    pooling = "TP, FP, FN and IoU are summed over all images first"
    empty = "adds nothing where it has neither; else all its cells are FN or FP"
    source = "Kirillov et al. 2019, Panoptic Segmentation"
    disjoint = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (
            Value("pq", "PQ"),
            Value("pq.sq", "SQ, mean IoU of found cells"),
            Value("pq.dq", "DQ, cells found (F1)"),
        )

    def terms(self, pair: ImagePair) -> tuple[float, ...]:
        """See `Metric.terms`: TP, sum of IoU, annotated and predicted cells."""
        iou = above_half(pair)
        return len(iou), float(iou.sum()), len(pair.truth_areas), len(pair.predicted_areas)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return qualities(sums)


def above_half(pair: ImagePair, chosen: NDArray[np.bool_] | None = None) -> Float64:
    """float64[L]: the IoU of each hit, of those `chosen` (bool[K], pairs) where given."""
    hit = pair.hits().pair
    hit = hit[2 * pair.overlaps.pixels[hit] > pair.union[hit]]
    return pair.iou[hit if chosen is None else hit[chosen[hit]]]


def qualities(sums: Float64) -> Float64:
    """float64[R, 3]: PQ, SQ and DQ from TP, the sum of IoU, annotated and predicted cells."""
    found, iou, truth, predicted = sums.T
    whole = (truth + predicted) / 2
    return np.stack((divided(iou, whole), divided(iou, found), divided(found, whole)), axis=1)
