"""AP at one IoU, as defined by StarDist and Cellpose; also called threat score or accuracy."""

from __future__ import annotations

from bigkingxxl.evaluation.metrics.base import Float64, divided
from bigkingxxl.evaluation.metrics.counted_hits import CountedHits


class AveragePrecision(CountedHits):
    """AP at one IoU, as defined by StarDist and Cellpose; also called threat score or accuracy."""

    name = "ap"
    title = "AP"
    formula = "TP / (TP + FP + FN)"

    def share(self, found: Float64, spurious: Float64, missed: Float64) -> Float64:
        """See `CountedHits.share`."""
        return divided(found, found + spurious + missed)
