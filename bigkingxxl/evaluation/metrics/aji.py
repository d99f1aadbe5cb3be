"""Aggregated Jaccard index: the pixels shared by annotated and predicted cells over their union."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, Int64, JoinedMean, Value, divided
from bigkingxxl.evaluation.pair_batch import PairBatch
from bigkingxxl.evaluation.pairing import ImagePair


class AggregatedJaccard(JoinedMean):
    """AJI: each annotated cell is paired with the predicted cell of the highest IoU, even twice."""

    name = "aji"
    title = "aggregated Jaccard index"
    formula = (
        "sum of intersections / (sum of unions + pixels of predicted cells that no annotated cell "
        "chose); each annotated cell chooses the predicted one of the highest IoU"
    )
    accepts = "disjoint predicted cells; cell types are ignored"
    empty = "left out if it has no cells at all; 0 if it has only annotated or only predicted cells"
    source = "Kumar et al. 2017, A dataset and a technique for generalized nuclear segmentation"
    disjoint = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (Value("aji", "AJI"),)

    def chosen(self, pair: ImagePair) -> Int64:
        """Return the pair of each annotated cell that overlaps a predicted cell, int64[L]."""
        first, iou = pair.overlaps.first, pair.iou
        best = np.flatnonzero(iou == pair.best_iou_of_truth[first])
        # Pairs are sorted by annotated cell: the first of equal ones is taken, as by argmax.
        return best[np.diff(first[best], prepend=-1) > 0]

    def scores(self, images: PairBatch) -> Float64:
        """See `JoinedMean.scores`."""
        whole = images.whole
        kept = self.chosen(whole)
        alone, unused = whole.truth_areas.copy(), whole.predicted_areas.copy()
        alone[whole.overlaps.first[kept]] = unused[whole.overlaps.second[kept]] = 0
        image = images.pair_image[kept]
        union = images.summed(image, whole.union[kept])
        union += images.summed(images.truth_image, alone)
        union += images.summed(images.predicted_image, unused)
        return divided(images.summed(image, whole.overlaps.pixels[kept]), union)[:, None]
