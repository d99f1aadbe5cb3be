"""Recall: the fraction of the annotated cells that are found."""

from __future__ import annotations

from bigkingxxl.evaluation.metrics.base import Float64, divided
from bigkingxxl.evaluation.metrics.counted_hits import CountedHits


class Recall(CountedHits):
    """Recall: the fraction of the annotated cells that are found."""

    name = "recall"
    title = "Recall"
    formula = "TP / (TP + FN)"

    def share(self, found: Float64, spurious: Float64, missed: Float64) -> Float64:
        """See `CountedHits.share`."""
        del spurious
        return divided(found, found + missed)
