"""SEG of the Cell Tracking Challenge: the mean overlap of annotated cells."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, JoinedMetric, Value, divided
from bigkingxxl.evaluation.pair_batch import PairBatch


class Seg(JoinedMetric):
    """The mean IoU of annotated cells; false positives are not penalised."""

    name = "seg"
    title = "SEG"
    formula = (
        "mean over annotated cells R of IoU(R, S), S the predicted cell that covers more than half "
        "of R, 0 where there is none"
    )
    accepts = "disjoint predicted cells; cell types are ignored"
    pooling = "the mean over the annotated cells of all images"
    empty = (
        "contributes nothing if it has no annotated cells; each cell scores 0 if it has "
        "no predicted cells"
    )
    source = "Ulman et al. 2017, An objective comparison of cell-tracking algorithms"
    disjoint = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (Value("seg", "SEG"),)

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: the sum of IoU and the number of annotated cells."""
        within = np.flatnonzero(images.whole.truth_within)
        total = images.summed(images.pair_image[within], images.whole.iou[within])
        return np.stack((total, images.truth_counts), axis=1)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return divided(sums[:, :1], sums[:, 1:])
