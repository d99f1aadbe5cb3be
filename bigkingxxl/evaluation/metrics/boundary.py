"""How far the outlines of found cells are off."""

from __future__ import annotations

from bigkingxxl.evaluation.boundaries import BoundaryDistances, boundary_distances
from bigkingxxl.evaluation.metrics.base import Float64, Metric, Value, divided
from bigkingxxl.evaluation.pairing import ImagePair


class BoundaryDistance(Metric):
    """Mean and 95 % of the distance between boundaries, averaged over found cells."""

    name = "boundary"
    title = "boundary distance"
    formula = (
        "distances from every boundary pixel of either cell to the nearest one of the other; their "
        "mean and 95th percentile, each averaged over found cells (IoU >= 0.5)"
    )
    pooling = "the mean over the found cells of all images"
    empty = "adds nothing without found cells"
    source = "Heimann et al. 2009 (average symmetric surface distance); Huttenlocher et al. 1993"
    needs_pixels = True

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (
            Value("boundary.mean", "boundary distance, mean", "pixels", -1),
            Value("boundary.p95", "boundary distance, 95 %", "pixels", -1),
        )

    def terms(self, pair: ImagePair) -> tuple[float, ...]:
        """See `Metric.terms`: both sums, and how many cells are found."""
        found = distances_of(pair)
        return float(found.mean.sum()), float(found.high.sum()), len(found.mean)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return divided(sums[:, :2], sums[:, 2:])


def distances_of(pair: ImagePair) -> BoundaryDistances:
    """Of the found cells of an image, in the order of `pair.hits()`."""
    hits = pair.hits()
    return boundary_distances(pair.truth.take(hits.truth), pair.predicted.take(hits.predicted))
