"""Panoptic quality by cell type: a cell with the wrong type counts as wrong."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, JoinedMetric, Value
from bigkingxxl.evaluation.metrics.pq import above_half, qualities
from bigkingxxl.evaluation.pair_batch import PairBatch
from bigkingxxl.evaluation.ranking import places


class PanopticQualityByType(JoinedMetric):
    """PQ of each cell type and its mean; undefined if the predictions have no types."""

    name = "pq-type"
    title = "panoptic quality by type"
    formula = "PQ of each type among its own cells; their mean over the types that occur"
    accepts = "disjoint predicted cells of several types"
    pooling = "TP, FP, FN and IoU of each type are summed over all images first"
    empty = (
        "contributes nothing if it has no cells at all; otherwise its cells are FN or "
        "FP of their type"
    )
    source = "Kirillov et al. 2019, Panoptic Segmentation"
    disjoint = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        each = (Value(f"pq-type.{name}", f"PQ of {name}") for name in self.types)
        return (Value("pq-type", "PQ, mean over types"), *each)

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: the four terms of `pq` for each type."""
        count = len(self.types)
        if not count:
            return np.zeros((len(images.parts), 0))
        truth = np.concatenate([places(pair.truth, self.types) for pair in images.parts])
        found = [places(pair.predicted, self.types) for pair in images.parts]
        predicted = np.concatenate(found)
        hit = above_half(images.whole)
        first, second, _ = images.whole.overlaps
        hit = hit[(truth[first[hit]] >= 0) & (truth[first[hit]] == predicted[second[hit]])]
        key = images.pair_image[hit] * count + truth[first[hit]]
        size = len(images.parts) * count
        of_type = (
            images.tabled(image[kind >= 0], kind[kind >= 0], count)
            for image, kind in ((images.truth_image, truth), (images.predicted_image, predicted))
        )
        iou = np.bincount(key, images.whole.iou[hit], size)
        hits = np.bincount(key, minlength=size)
        each = (hits.reshape(-1, count), iou.reshape(-1, count), *of_type)
        result = np.stack(each, axis=2).reshape(len(images.parts), -1).astype(np.float64)
        for place, kinds in enumerate(found):
            if len(kinds) and not (kinds >= 0).any():
                result[place] = np.nan  # there are no types
        return result

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        by_type = sums.reshape(-1, 4)
        each = qualities(by_type)[:, 0].reshape(len(sums), len(self.types))
        measured = ~np.isnan(each)
        count = measured.sum(axis=1)
        mean = np.where(measured, each, 0).sum(axis=1) / np.maximum(count, 1)
        untold = np.isnan(sums).any(axis=1) | (count == 0)
        return np.concatenate((np.where(untold, np.nan, mean)[:, None], each), axis=1)
