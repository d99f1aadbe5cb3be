"""Precision: the fraction of the predicted cells that are real."""

from __future__ import annotations

from bigkingxxl.evaluation.metrics.base import Float64, divided
from bigkingxxl.evaluation.metrics.counted_hits import CountedHits


class Precision(CountedHits):
    """Precision: the fraction of the predicted cells that are real."""

    name = "precision"
    title = "Precision"
    formula = "TP / (TP + FP)"

    def share(self, found: Float64, spurious: Float64, missed: Float64) -> Float64:
        """See `CountedHits.share`."""
        del missed
        return divided(found, found + spurious)
