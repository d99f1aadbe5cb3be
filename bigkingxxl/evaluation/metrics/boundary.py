"""Boundary distance: how far the outlines of found cells are off."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.boundaries import BoundaryDistances, Side, boundary_distances
from bigkingxxl.evaluation.metrics.base import Float64, JoinedMetric, Value, divided
from bigkingxxl.evaluation.pair_batch import PairBatch


class BoundaryDistance(JoinedMetric):
    """The mean and 95th percentile of the boundary distance, averaged over found cells."""

    name = "boundary"
    title = "boundary distance"
    formula = (
        "distances from every boundary pixel of either cell to the nearest one of the other; their "
        "mean and 95th percentile, each averaged over found cells (IoU >= 0.5)"
    )
    pooling = "the mean over the found cells of all images"
    empty = "contributes nothing if no cell is found"
    source = "Heimann et al. 2009 (average symmetric surface distance); Huttenlocher et al. 1993"
    needs_pixels = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (
            Value("boundary.mean", "boundary distance, mean", "pixels", -1),
            Value("boundary.p95", "boundary distance, 95 %", "pixels", -1),
        )

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: both sums and the number of found cells."""
        found, image = distances_of(images), images.truth_image[images.whole.hits().truth]
        sums = (images.summed(image, found.mean), images.summed(image, found.high))
        return np.stack((*sums, images.summed(image)), axis=1)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return divided(sums[:, :2], sums[:, 2:])


def distances_of(images: PairBatch) -> BoundaryDistances:
    """Compute the distances of all found cells, in the order of the hits."""
    hits = images.whole.hits()
    return boundary_distances(
        Side(images.truth, hits.truth), Side(images.predicted, hits.predicted)
    )
