"""Confluence: the error of the fraction of the image that cells cover."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, Metric, Value, divided, spread
from bigkingxxl.evaluation.metrics.counts import LIMIT
from bigkingxxl.evaluation.pairing import ImagePair


class ConfluenceError(Metric):
    """Predicted minus annotated confluence, in percentage points."""

    name = "confluence"
    title = "confluence error"
    formula = (
        "d = predicted - annotated share of an image that cells cover, in percentage points; bias "
        "= mean d; limits = bias +- 1.96 SD"
    )
    accepts = "disjoint or overlapping cells, a pixel counts once; cell types are ignored"
    pooling = "one difference per image"
    empty = "has a confluence of 0; an image without annotated pixels is left out"
    source = "Bland and Altman 1986, Statistical methods for assessing agreement"

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (
            Value("confluence.bias", "confluence bias", "% points", 0),
            Value("confluence.low", "lower limit of agreement of confluence", "% points", 0),
            Value("confluence.high", "upper limit of agreement of confluence", "% points", 0),
            Value("confluence.absolute", "mean absolute confluence error", "% points", -1),
        )

    def terms(self, pair: ImagePair) -> tuple[float, ...]:
        """Compute terms: 1, the difference, its square and its absolute value."""
        if not pair.annotated:
            return 0, 0, 0, 0
        truth, predicted = pair.covered
        gap = 100 * (predicted - truth) / pair.annotated
        return 1, gap, gap * gap, abs(gap)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        count, total, squares, absolute = sums.T
        mean, deviation = spread(count, total, squares)
        limits = (mean - LIMIT * deviation, mean + LIMIT * deviation)
        return np.stack((mean, *limits, divided(absolute, count)), axis=1)
