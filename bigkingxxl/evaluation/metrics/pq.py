"""Panoptic quality: detection quality times segmentation quality."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, Int64, JoinedMetric, Value, divided
from bigkingxxl.evaluation.pair_batch import PairBatch
from bigkingxxl.evaluation.pairing import ImagePair


class PanopticQuality(JoinedMetric):
    """PQ = SQ x DQ over pairs with an IoU above 0.5, which are necessarily one to one."""

    name = "pq"
    title = "panoptic quality"
    formula = "PQ = SQ x DQ = (sum of IoU of TP / TP) x (TP / (TP + FP/2 + FN/2)), TP: IoU > 0.5"
    accepts = "disjoint predicted cells; cell types are ignored (see pq-type)"
    pooling = "TP, FP, FN and IoU are summed over all images first"
    empty = "contributes nothing if it has no cells at all; otherwise its cells are FN or FP"
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

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: TP, the sum of IoU, and the numbers of annotated and predicted cells."""
        hit = above_half(images.whole)
        image, iou = images.pair_image[hit], images.whole.iou[hit]
        counts = (images.truth_counts, images.predicted_counts)
        return np.stack((images.summed(image), images.summed(image, iou), *counts), axis=1)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return qualities(sums)


def above_half(pair: ImagePair) -> Int64:
    """Return the pairs with an IoU above 0.5, int64[L]."""
    hit = pair.hits().pair
    return hit[2 * pair.overlaps.pixels[hit] > pair.union[hit]]


def qualities(sums: Float64) -> Float64:
    """Compute PQ, SQ and DQ, float64[R, 3], from the sums of the terms."""
    found, iou, truth, predicted = sums.T
    whole = (truth + predicted) / 2
    return np.stack((divided(iou, whole), divided(iou, found), divided(found, whole)), axis=1)
