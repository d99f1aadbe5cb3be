"""Recall of cells by their size: which cells are missed, the small or the large?"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bigkingxxl.evaluation.compared import ComparedImages
from bigkingxxl.evaluation.metrics.base import Float64, Int64, JoinedMetric, Metric, Value, divided

# Pixels: each class reaches from one edge to below the next, the last without end.
EDGES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class RecallBySize(JoinedMetric):
    """Which share of the annotated cells of each class of area is found."""

    name = "recall-size"
    title = "recall by cell size"
    formula = "TP / (TP + FN) among annotated cells whose area lies from A to below 2 A pixels"
    pooling = "the cells of each class are summed over all images first"
    empty = "adds nothing without annotated cells"
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

    def terms_of(self, images: ComparedImages) -> Float64:
        """See `JoinedMetric.terms_of`: found and annotated cells of each class."""
        kind = np.searchsorted(EDGES, images.whole.truth_areas, side="right") - 1
        return found_by_class(images, kind, len(EDGES), self)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return divided(*np.split(sums, 2, axis=1))


def found_by_class(images: ComparedImages, kind: Int64, count: int, metric: Metric) -> Float64:
    """float64[n, 2 C]: of each image, found cells of each of C classes, then annotated ones."""
    hit = images.whole.hits(metric.threshold).truth
    found = images.tabled(images.truth_image[hit], kind[hit], count)
    return np.concatenate((found, images.tabled(images.truth_image, kind, count)), axis=1)
