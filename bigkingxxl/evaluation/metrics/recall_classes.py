"""The base of metrics that give the fraction of found cells by class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, Int64, JoinedMetric, Value, divided
from bigkingxxl.evaluation.pair_batch import PairBatch


class RecallByClass(JoinedMetric):
    """The fraction of the annotated cells that are found, by class.

    Attributes:
        edges: The lower edges of the C classes, in the unit of `measured`; each class reaches to
            below the next edge, and the last one is open.
    """

    pooling = "the cells of each class are summed over all images first"
    empty = "contributes nothing if it has no annotated cells"
    source = "BigKingXXL"
    takes_threshold = True
    edges: ClassVar[tuple[int, ...]]

    @property
    @abstractmethod
    def class_names(self) -> Sequence[str]:
        """What the cells of each class have in common, such as 'of 32 to 63 pixels'."""

    @abstractmethod
    def measured(self, images: PairBatch) -> Int64:
        """Return the value of each annotated cell that decides its class, int64[N]."""

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return tuple(
            Value(f"{self.key}.{low}", f"recall, cells {name}")
            for low, name in zip(self.edges, self.class_names, strict=True)
        )

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: the found, then the annotated cells of each class, float64[n, 2 C]."""
        kind = np.searchsorted(self.edges, self.measured(images), side="right") - 1
        hit = images.whole.hits(self.threshold).truth
        found = images.tabled(images.truth_image[hit], kind[hit], len(self.edges))
        every = images.tabled(images.truth_image, kind, len(self.edges))
        return np.concatenate((found, every), axis=1)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return divided(*np.split(sums, 2, axis=1))
