"""Recall by cell size."""

from __future__ import annotations

from itertools import pairwise

from bigkingxxl.evaluation.metrics.base import Int64
from bigkingxxl.evaluation.metrics.recall_classes import RecallByClass
from bigkingxxl.evaluation.pair_batch import PairBatch


class RecallBySize(RecallByClass):
    """The fraction of the annotated cells that are found, by area class."""

    name = "recall-size"
    title = "recall by cell size"
    formula = "TP / (TP + FN) among annotated cells whose area lies from A to below 2 A pixels"
    edges = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)  # in pixels

    @property
    def class_names(self) -> list[str]:
        """See `RecallByClass.class_names`."""
        names = [f"of {low} to {high - 1} pixels" for low, high in pairwise(self.edges)]
        return [*names, f"of {self.edges[-1]} or more pixels"]

    def measured(self, images: PairBatch) -> Int64:
        """Return the areas in pixels."""
        return images.whole.truth_areas
