"""Recall of cells by how crowded their surroundings are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.metrics.base import Float64, Metric, Value, divided
from bigkingxxl.evaluation.metrics.recall_size import found_by_class
from bigkingxxl.evaluation.pairing import ImagePair

RADIUS = 2.0  # mean diameters of the image's annotated cells
EDGES = (0, 1, 3, 6, 10)  # neighbours: each class reaches from one edge to below the next


class RecallByDensity(Metric):
    """Which share of the annotated cells with few or many neighbours is found."""

    name = "recall-density"
    title = "recall by local density"
    formula = (
        "TP / (TP + FN) among annotated cells with so many others whose centre is within two mean "
        "cell diameters of their own"
    )
    pooling = "the cells of each class are summed over all images first"
    empty = "adds nothing without annotated cells"
    source = "BigKingXXL"
    takes_threshold = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        names = ("no neighbour", "1 to 2 neighbours", "3 to 5 neighbours", "6 to 9 neighbours",
                 "10 neighbours or more")  # fmt: skip
        return tuple(
            Value(f"{self.key}.{low}", f"recall, cells with {name}")
            for low, name in zip(EDGES, names, strict=True)
        )

    def terms(self, pair: ImagePair) -> Float64:
        """See `Metric.terms`: found and annotated cells of each class."""
        kind = np.searchsorted(EDGES, neighbours(pair), side="right") - 1
        return found_by_class(pair, kind, len(EDGES), self)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return divided(*np.split(sums, 2, axis=1))


def neighbours(pair: ImagePair) -> NDArray[np.int64]:
    """int64[N]: of each annotated cell, how many others are near; see `RecallByDensity`."""
    if not len(pair.truth_areas):
        return np.zeros(0, np.int64)
    from scipy.spatial import cKDTree

    diameter = float(np.sqrt(4 / np.pi * pair.truth_areas).mean())
    tree = cKDTree(pair.truth_centres, compact_nodes=False, balanced_tree=False)
    near = tree.query_ball_point(pair.truth_centres, RADIUS * diameter, return_length=True)
    return np.asarray(near, np.int64) - 1
