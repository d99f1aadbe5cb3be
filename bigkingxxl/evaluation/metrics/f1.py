"""F1: the harmonic mean of precision and recall."""

from __future__ import annotations

from bigkingxxl.evaluation.metrics.base import Float64, divided
from bigkingxxl.evaluation.metrics.counted_hits import CountedHits


class F1(CountedHits):
    """F1: the harmonic mean of precision and recall."""

    name = "f1"
    title = "F1"
    formula = "2 TP / (2 TP + FP + FN)"

    def share(self, found: Float64, spurious: Float64, missed: Float64) -> Float64:
        """See `CountedHits.share`."""
        return divided(2 * found, 2 * found + spurious + missed)
