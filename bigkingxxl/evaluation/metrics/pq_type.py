"""Panoptic quality of each cell type, and its mean over types: a cell of a wrong type is wrong."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, Metric, Value
from bigkingxxl.evaluation.metrics.pq import above_half, qualities
from bigkingxxl.evaluation.pairing import ImagePair
from bigkingxxl.evaluation.ranking import places


class PanopticQualityByType(Metric):
    """PQ among the cells of each type; nothing where the predictions tell no types."""

    name = "pq-type"
    title = "panoptic quality by type"
    formula = "PQ of each type among its own cells; their mean over the types that occur"
    accepts = "disjoint predicted cells of several types"
    pooling = "TP, FP, FN and IoU of each type are summed over all images first"
    empty = "adds nothing where it has neither; else all its cells are FN or FP of their type"
    source = "Kirillov et al. 2019, Panoptic Segmentation"
    disjoint = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        each = (Value(f"pq-type.{name}", f"PQ of {name}") for name in self.types)
        return (Value("pq-type", "PQ, mean over types"), *each)

    def terms(self, pair: ImagePair) -> Float64:
        """See `Metric.terms`: the four of `pq` for each type."""
        truth = places(pair.truth, self.types)
        predicted = places(pair.predicted, self.types)
        result = np.zeros((len(self.types), 4))
        if len(predicted) and not (predicted >= 0).any():
            return np.full(result.size, np.nan)  # no type is told
        same = truth[pair.overlaps.first] == predicted[pair.overlaps.second]
        for place in range(len(self.types)):
            iou = above_half(pair, same & (truth[pair.overlaps.first] == place))
            result[place] = (
                len(iou), iou.sum(), (truth == place).sum(), (predicted == place).sum(),
            )  # fmt: skip
        return result.ravel()

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        by_type = sums.reshape(-1, 4)
        each = qualities(by_type)[:, 0].reshape(len(sums), len(self.types))
        measured = ~np.isnan(each)
        count = measured.sum(axis=1)
        mean = np.where(measured, each, 0).sum(axis=1) / np.maximum(count, 1)
        untold = np.isnan(sums).any(axis=1) | (count == 0)
        return np.concatenate((np.where(untold, np.nan, mean)[:, None], each), axis=1)
