"""Count errors: predicted minus annotated cells per image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigkingxxl.evaluation.metrics.base import (
    Float64,
    Int64,
    JoinedMetric,
    Value,
    divided,
    spread,
)
from bigkingxxl.evaluation.pair_batch import PairBatch

LIMIT = 1.96  # standard deviations that contain 95 % of a normal distribution


class CountError(JoinedMetric):
    """Bias and limits of agreement of the number of cells per image."""

    name = "counts"
    title = "count error per image"
    formula = "d = predicted - annotated cells of an image; bias = mean d; limits = bias +- 1.96 SD"
    pooling = "one difference per image; the relative bias is sum d / sum of annotated cells"
    empty = "counts as 0 cells"
    source = "Bland and Altman 1986, Statistical methods for assessing agreement"
    unit: str = "image"

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        name, per = self.name, f"per {self.unit}"
        return (
            Value(f"{name}.bias", f"count bias {per}", "cells", 0),
            Value(f"{name}.low", f"lower limit of agreement {per}", "cells", 0),
            Value(f"{name}.high", f"upper limit of agreement {per}", "cells", 0),
            Value(f"{name}.absolute", f"mean absolute count error {per}", "cells", -1),
            Value(f"{name}.relative", f"count bias {per}, of all cells", "%", 0),
        )

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: the numbers of annotated and predicted cells."""
        return np.stack((images.truth_counts, images.predicted_counts), 1).astype(np.float64)

    def pooled(self, terms: Sequence[Float64], weights: Float64, groups: Int64) -> Float64:
        """See `Metric.pooled`."""
        del groups
        counts = np.array(terms, np.float64).reshape(-1, 2)
        return self.agreement(counts[:, 0], counts[:, 1], weights)

    def agreement(self, truth: Float64, predicted: Float64, weights: Float64) -> Float64:
        """Compute values float64[R, 5] from counts float64[n] and weights float64[R, n]."""
        gap = predicted - truth
        each = np.stack((np.ones(len(gap)), gap, gap**2, np.abs(gap), truth), axis=1)
        count, total, squares, absolute, cells = (weights @ each).T
        mean, deviation = spread(count, total, squares)
        return np.stack(
            (
                mean, mean - LIMIT * deviation, mean + LIMIT * deviation,
                divided(absolute, count), 100 * divided(total, cells),
            ), axis=1,
        )  # fmt: skip
