"""Recall by local density."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.metrics.base import Int64
from bigkingxxl.evaluation.metrics.recall_classes import RecallByClass
from bigkingxxl.evaluation.pair_batch import PairBatch

RADIUS = 2.0  # in mean diameters of the image's annotated cells


class RecallByDensity(RecallByClass):
    """The fraction of the annotated cells that are found, by their number of neighbours."""

    name = "recall-density"
    title = "recall by local density"
    formula = (
        "TP / (TP + FN) among annotated cells with so many others whose centre is within two mean "
        "cell diameters of their own"
    )
    edges = (0, 1, 3, 6, 10)  # numbers of neighbours
    class_names = (
        "with no neighbour", "with 1 to 2 neighbours", "with 3 to 5 neighbours",
        "with 6 to 9 neighbours", "with 10 neighbours or more",
    )  # fmt: skip

    def measured(self, images: PairBatch) -> Int64:
        """Return the numbers of neighbours."""
        return neighbours(images)


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
