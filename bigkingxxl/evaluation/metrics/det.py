"""DET of the Cell Tracking Challenge: how much work is left to correct the cells found."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, Metric, Value, divided
from bigkingxxl.evaluation.pairing import ImagePair

SPLIT, ADD, DELETE = 5, 10, 1  # the challenge's costs of each correction


class Det(Metric):
    """1 - the cost of correcting what was found, over the cost of drawing everything."""

    name = "det"
    title = "DET"
    formula = (
        "1 - min(AOGM, AOGM0) / AOGM0, AOGM = 5 splits + 10 misses + 1 false alarms, AOGM0 = 10 "
        "annotated cells; found: more than half of the annotated cell lies in one predicted cell"
    )
    accepts = "disjoint predicted cells; cell types are ignored"
    pooling = "splits, misses and false alarms are summed over all images first"
    empty = "adds nothing where it has neither; else all its cells are misses or false alarms"
    source = "Matula et al. 2015, Cell tracking accuracy measurement based on acyclic graphs"
    disjoint = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (Value("det", "DET"),)

    def terms(self, pair: ImagePair) -> tuple[int, int]:
        """See `Metric.terms`: the cost of correction, and of drawing everything."""
        covering = np.bincount(
            pair.overlaps.second[pair.truth_within], minlength=len(pair.predicted_areas)
        )
        found = int(covering.sum())
        splits = int(np.maximum(covering - 1, 0).sum())
        cost = (
            SPLIT * splits
            + ADD * (len(pair.truth_areas) - found)
            + DELETE * int((covering == 0).sum())
        )
        return cost, ADD * len(pair.truth_areas)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        cost, nothing = sums.T
        return 1 - divided(np.minimum(cost, nothing), nothing)[:, None]
