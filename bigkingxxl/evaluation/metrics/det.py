"""DET of the Cell Tracking Challenge: the work that is needed to correct the detected cells."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, JoinedMetric, Value, divided
from bigkingxxl.evaluation.pair_batch import PairBatch

SPLIT, ADD, DELETE = 5, 10, 1  # the costs of the corrections in the challenge


class Det(JoinedMetric):
    """1 minus the cost of correcting the result, divided by the cost of annotating from scratch."""

    name = "det"
    title = "DET"
    formula = (
        "1 - min(AOGM, AOGM0) / AOGM0, AOGM = 5 splits + 10 misses + 1 false alarms, AOGM0 = 10 "
        "annotated cells; found: more than half of the annotated cell lies in one predicted cell"
    )
    accepts = "disjoint predicted cells; cell types are ignored"
    pooling = "splits, misses and false alarms are summed over all images first"
    empty = (
        "contributes nothing if it has no cells at all; otherwise its cells are misses "
        "or false alarms"
    )
    source = "Matula et al. 2015, Cell tracking accuracy measurement based on acyclic graphs"
    disjoint = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (Value("det", "DET"),)

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: the cost of correction and the cost of annotating from scratch."""
        whole, image = images.whole, images.predicted_image
        covering = np.bincount(
            whole.overlaps.second[whole.truth_within], minlength=len(whole.predicted_areas)
        )
        found = images.summed(image, covering)
        splits = images.summed(image, np.maximum(covering - 1, 0))
        spurious = images.summed(image, covering == 0)
        cost = SPLIT * splits + ADD * (images.truth_counts - found) + DELETE * spurious
        return np.stack((cost, ADD * images.truth_counts), axis=1)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        cost, nothing = sums.T
        return 1 - divided(np.minimum(cost, nothing), nothing)[:, None]
