"""Recall by cell size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, Int64, JoinedMetric, Metric, Value, divided
from bigkingxxl.evaluation.pair_batch import PairBatch

# In pixels; each class reaches from one edge to below the next, and the last is open.
EDGES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class RecallBySize(JoinedMetric):
    """The fraction of the annotated cells that are found, by area class."""

    name = "recall-size"
    title = "recall by cell size"
    formula = "TP / (TP + FN) among annotated cells whose area lies from A to below 2 A pixels"
    pooling = "the cells of each class are summed over all images first"
    empty = "contributes nothing if it has no annotated cells"
    source = "BigKingXXL"
    takes_threshold = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        names = [f"{low} to {high - 1}" for low, high in pairwise(EDGES)]
        names.append(f"{EDGES[-1]} or more")
        return tuple(
            Value(f"{self.key}.{low}", f"recall, cells of {name} pixels")
            for low, name in zip(EDGES, names, strict=True)
        )

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: the found and the annotated cells of each class."""
        kind = np.searchsorted(EDGES, images.whole.truth_areas, side="right") - 1
        return found_by_class(images, kind, len(EDGES), self)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return divided(*np.split(sums, 2, axis=1))


def found_by_class(images: PairBatch, kind: Int64, count: int, metric: Metric) -> Float64:
    """Count the found, then the annotated cells of C classes in each image, float64[n, 2 C]."""
    hit = images.whole.hits(metric.threshold).truth
    found = images.tabled(images.truth_image[hit], kind[hit], count)
    return np.concatenate((found, images.tabled(images.truth_image, kind, count)), axis=1)
