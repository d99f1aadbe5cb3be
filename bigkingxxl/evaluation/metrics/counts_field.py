"""Count errors of complete fields (or wells, or samples)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, Int64
from bigkingxxl.evaluation.metrics.counts import CountError


class FieldCountError(CountError):
    """Bias and limits of agreement of the number of cells per group of images."""

    name = "counts-field"
    title = "count error per field"
    formula = "as counts, d = predicted - annotated cells of all images of one field or well"
    pooling = "one difference per field; the relative bias is sum d / sum of annotated cells"
    unit = "field"

    def pooled(self, terms: Sequence[Float64], weights: Float64, groups: Int64) -> Float64:
        """Compute values; the images of a group are always drawn together."""
        counts = np.array(terms, np.float64).reshape(-1, 2)
        _, first, member = np.unique(groups, return_index=True, return_inverse=True)
        result = np.empty((len(weights), len(self.values)))
        drawn = weights[:, first]
        if np.array_equal(drawn[:, member], weights):
            truth, predicted = _sums(member, counts)
            return self.agreement(truth, predicted, drawn)
        # If a set contains only some images of a field, these are counted.
        for place, weight in enumerate(weights):
            share = np.bincount(member, weight) > 0
            truth, predicted = _sums(member, counts * weight[:, None])
            result[place] = self.agreement(truth, predicted, share[None].astype(np.float64))[0]
        return result


def _sums(member: Int64, counts: Float64) -> tuple[Float64, Float64]:
    """Return the numbers of annotated and predicted cells of each field."""
    truth: Float64 = np.bincount(member, counts[:, 0]).astype(np.float64)
    predicted: Float64 = np.bincount(member, counts[:, 1]).astype(np.float64)
    return truth, predicted
