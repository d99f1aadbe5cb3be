"""The Sartorius challenge's mean average precision over IoU 0.50, 0.55 ... 0.95."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.competition_map import counts_of_images
from bigkingxxl.evaluation.metrics.base import Float64, JoinedMean, Value
from bigkingxxl.evaluation.pair_batch import PairBatch


class CompetitionMap(JoinedMean):
    """The competition mAP; see `evaluation.competition_map`."""

    name = "map"
    title = "competition mAP"
    formula = "mean over IoU > 0.50, 0.55 ... 0.95 of TP / (TP + FP + FN) of an image"
    accepts = "disjoint predicted cells; annotated ones may overlap; cell types are ignored"
    empty = (
        "1 if it has no cells at all; 0 if it has only annotated or only predicted "
        "cells, or if the predictions do not contain it"
    )
    source = "Sartorius - Cell Instance Segmentation, Kaggle 2021"
    disjoint = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (Value("map", "competition mAP"),)

    def scores(self, images: PairBatch) -> Float64:
        """See `JoinedMean.scores`."""
        named = np.array([[pair.named] for pair in images.parts])
        return np.where(named, counts_of_images(images).by_threshold.mean(axis=1)[:, None], 0.0)
