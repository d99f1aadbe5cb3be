"""TP, FP and FN at an IoU, from which F1, precision, recall and AP are computed."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, JoinedMetric, Value
from bigkingxxl.evaluation.pair_batch import PairBatch


class CountedHits(JoinedMetric):
    """A ratio of TP, FP and FN, from one-to-one pairs that reach the IoU threshold."""

    pooling = "TP, FP and FN are summed over all images first"
    empty = "contributes nothing if it has no cells at all; otherwise its cells are FN or FP"
    source = (
        "Weigert et al. 2020 (StarDist), `stardist.matching`: as many pairs as can be matched one "
        "to one, then those of the highest IoU; IoU >= threshold"
    )
    takes_threshold = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (Value(self.key, f"{self.title} at IoU {float(self.threshold):g}"),)

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: TP, FP and FN."""
        hits = images.whole.hits(self.threshold)
        found = images.summed(images.truth_image[hits.truth])
        return np.stack((found, images.predicted_counts - found, images.truth_counts - found), 1)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        found, spurious, missed = sums.T
        return self.share(found, spurious, missed)[:, None]

    def share(self, found: Float64, spurious: Float64, missed: Float64) -> Float64:
        """Compute the metric from TP, FP and FN."""
        raise NotImplementedError
