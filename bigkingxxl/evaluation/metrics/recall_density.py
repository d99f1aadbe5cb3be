"""Recall by local density."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Float64, Int64, JoinedMetric, Value, divided
from bigkingxxl.evaluation.metrics.recall_size import found_by_class
from bigkingxxl.evaluation.pair_batch import PairBatch

RADIUS = 2.0  # in mean diameters of the image's annotated cells
# numbers of neighbours; each class reaches from one edge to below the next
EDGES = (0, 1, 3, 6, 10)


class RecallByDensity(JoinedMetric):
    """The fraction of the annotated cells that are found, by their number of neighbours."""

    name = "recall-density"
    title = "recall by local density"
    formula = (
        "TP / (TP + FN) among annotated cells with so many others whose centre is within two mean "
        "cell diameters of their own"
    )
    pooling = "the cells of each class are summed over all images first"
    empty = "contributes nothing if it has no annotated cells"
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

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: the found and the annotated cells of each class."""
        kind = np.searchsorted(EDGES, neighbours(images), side="right") - 1
        return found_by_class(images, kind, len(EDGES), self)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return divided(*np.split(sums, 2, axis=1))


def neighbours(images: PairBatch) -> Int64:
    """Count the neighbours of each annotated cell, int64[N]; see `RecallByDensity`."""
    image = images.truth_image
    diameter = images.summed(image, np.sqrt(4 / np.pi * images.whole.truth_areas))
    diameter /= np.maximum(images.truth_counts, 1)
    row, column = (images.truth_centres / (RADIUS * diameter[image, None])).T
    # The images are placed one below the other, out of reach of each other.
    row = row + image * (row.max(initial=0) + 2)
    order = np.argsort(row, kind="stable")
    row, column = row[order], column[order]
    near, left, step = np.zeros(len(row), np.int64), np.arange(len(row)), 0
    # Compare each cell with the next one by row, then with the one after that, while in reach.
    while len(left):
        step += 1
        left = left[left + step < len(row)]
        left = left[row[left + step] - row[left] <= 1]
        met = left[
            (row[left + step] - row[left]) ** 2 + (column[left + step] - column[left]) ** 2 <= 1
        ]
        near[met] += 1
        near[met + step] += 1
    result = np.empty_like(near)
    result[order] = near
    return result
