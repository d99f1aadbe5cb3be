"""Cells found, missed and spurious at an IoU: what F1, precision, recall and AP are made of."""

from __future__ import annotations

from bigkingxxl.evaluation.metrics.base import Float64, Metric, Value
from bigkingxxl.evaluation.pairing import ImagePair


class CountedHits(Metric):
    """A share made of TP, FP and FN of one-to-one pairs of an IoU of the threshold or more."""

    pooling = "TP, FP and FN are summed over all images first"
    empty = "adds nothing where it has neither; else all its cells are FN or FP"
    source = (
        "Weigert et al. 2020 (StarDist), `stardist.matching`: as many pairs as can be matched one "
        "to one, then those of the highest IoU; IoU >= threshold"
    )
    takes_threshold = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (Value(self.key, f"{self.title} at IoU {float(self.threshold):g}"),)

    def terms(self, pair: ImagePair) -> tuple[int, int, int]:
        """See `Metric.terms`: TP, FP, FN."""
        found = len(pair.hits(self.threshold).pair)
        return found, len(pair.predicted_areas) - found, len(pair.truth_areas) - found

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        found, spurious, missed = sums.T
        return self.share(found, spurious, missed)[:, None]

    def share(self, found: Float64, spurious: Float64, missed: Float64) -> Float64:
        """The metric's own formula."""
        raise NotImplementedError
