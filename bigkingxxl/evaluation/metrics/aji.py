"""Aggregated Jaccard index: pixels that annotated and predicted cells share, over all of both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigkingxxl.evaluation.metrics.base import Int64, MeanOverImages, Value
from bigkingxxl.evaluation.pairing import ImagePair


class AggregatedJaccard(MeanOverImages):
    """Each annotated cell with the predicted cell of the highest IoU, which may serve twice."""

    name = "aji"
    title = "aggregated Jaccard index"
    formula = (
        "sum of intersections / (sum of unions + pixels of predicted cells that no annotated cell "
        "chose); each annotated cell chooses the predicted one of the highest IoU"
    )
    accepts = "disjoint predicted cells; cell types are ignored"
    empty = "left out where it has neither; 0 where it has one of the two"
    source = "Kumar et al. 2017, A dataset and a technique for generalized nuclear segmentation"
    disjoint = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (Value("aji", "AJI"),)

    def chosen(self, pair: ImagePair) -> Int64:
        """int64[L]: the pair of each annotated cell that meets any predicted cell."""
        first = pair.overlaps.first
        # Pairs are sorted by the annotated cell: of equals the first is taken, as argmax does.
        order = np.lexsort((-pair.iou, first))
        return order[np.flatnonzero(np.diff(first[order], prepend=-1))]

    def scores(self, pair: ImagePair) -> Sequence[float]:
        """See `MeanOverImages.scores`."""
        kept = self.chosen(pair)
        alone = np.ones(len(pair.truth_areas), bool)
        alone[pair.overlaps.first[kept]] = False
        unused = np.ones(len(pair.predicted_areas), bool)
        unused[pair.overlaps.second[kept]] = False
        union = pair.union[kept].sum() + pair.truth_areas[alone].sum()
        union += pair.predicted_areas[unused].sum()
        return (float(pair.overlaps.pixels[kept].sum() / union) if union else np.nan,)
