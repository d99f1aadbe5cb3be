"""The interface of metrics: terms of each image that add up, and the value of their sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.pair_batch import PairBatch
from bigkingxxl.evaluation.pairing import HALF, ImagePair

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class Value(NamedTuple):
    """A value that a metric returns.

    Attributes:
        key: Its name in tables and JSON, such as 'pq' or 'counts.bias'.
        label: Its name for readers.
        unit: '' for a fraction, else 'pixels', 'cells', '%' ...
        better: 1 if higher is better, -1 if lower is better, 0 if closer to 0 is better.
    """

    key: str
    label: str
    unit: str = ""
    better: int = 1

    def text(self, number: float | None) -> str:
        """Format a value for readers; '-' if it is undefined."""
        if number is None or number != number:  # NaN
            return "-"
        digits = {"": 3, "pixels": 2}.get(self.unit, 1)
        sign = "+" if self.better == 0 else ""
        return f"{number:{sign}z.{digits}f}"  # z: no "-0.000"

    @property
    def name(self) -> str:
        """The label with the unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


class Metric(ABC):
    """A metric of predicted against annotated cells.

    `terms` computes what an image contributes. `pooled` computes the value of a set of images from
    their terms and weights, be it all images, a single one, those of a cell type or a resample of
    the bootstrap. NaN stands for an undefined value.

    Attributes:
        name: The name that a user types, without a threshold.
        title: The name for readers.
        formula: The definition in one line.
        accepts: The cells that the metric accepts.
        pooling: How images are combined.
        empty: The value of an image without annotated or predicted cells.
        source: Who defined the metric.
        disjoint: Whether predicted cells must be disjoint.
        takes_threshold: Whether the user may choose the IoU ('f1@0.75').
        needs_pixels: Whether it needs pixels in addition to overlaps, which takes time.
        resamples: The largest number of bootstrap resamples.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    formula: ClassVar[str]
    accepts: ClassVar[str] = "disjoint or overlapping cells; cell types are ignored"
    pooling: ClassVar[str]
    empty: ClassVar[str]
    source: ClassVar[str]
    disjoint: ClassVar[bool] = False
    takes_threshold: ClassVar[bool] = False
    needs_pixels: ClassVar[bool] = False
    resamples: ClassVar[int] = 2000

    def __init__(self, threshold: Fraction = HALF, types: Sequence[str] = ()) -> None:
        """Create the metric.

        Args:
            threshold: The IoU at which a cell counts as found.
            types: The cell types of the truth.
        """
        self.threshold = threshold
        self.types = tuple(types)

    @property
    def key(self) -> str:
        """The name with the threshold, such as 'f1@0.5'."""
        if not self.takes_threshold:
            return self.name
        return f"{self.name}@{float(self.threshold):g}"

    @property
    @abstractmethod
    def values(self) -> tuple[Value, ...]:
        """The V values that the metric returns."""

    @abstractmethod
    def terms(self, pair: ImagePair) -> Any:
        """Compute the K terms of an image, which add up unless `pooled` is overridden."""

    def terms_of(self, images: PairBatch) -> Any:
        """Compute the terms of each of n images; see `terms`."""
        return [self.terms(pair) for pair in images.parts]

    def ratio(self, sums: Float64) -> Float64:
        """Compute values float64[R, V] from the sums of terms float64[R, K]."""
        raise NotImplementedError

    def pooled(self, terms: Sequence[Any], weights: Float64, groups: Int64) -> Float64:
        """Compute the values of R sets of images, float64[R, V].

        Args:
            terms: The terms of each of n images.
            weights: float64[R, n], how often each set contains each image.
            groups: int64[n], the field, well or sample of each image.
        """
        del groups
        return self.ratio(weights @ np.array(terms, np.float64))


class MeanOverImages(Metric):
    """A metric that is computed for each image and averaged over images."""

    pooling = "the mean over images"

    @abstractmethod
    def scores(self, pair: ImagePair) -> Sequence[float]:
        """Compute the V values of one image; NaN leaves the image out of the mean."""

    def terms(self, pair: ImagePair) -> Float64:
        """Compute terms: each value and whether it is defined."""
        found: Float64 = with_counts(np.array([self.scores(pair)], np.float64))[0]
        return found

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return mean_of(sums)


class JoinedMetric(Metric):
    """A metric that is computed for many images at once, which is much faster."""

    @abstractmethod
    def terms_of(self, images: PairBatch) -> Float64:
        """Compute the terms of each image, float64[n, K]."""

    def terms(self, pair: ImagePair) -> Float64:
        """See `Metric.terms`."""
        found: Float64 = self.terms_of(PairBatch((pair,)))[0]
        return found


class JoinedMean(JoinedMetric):
    """A `MeanOverImages` that is computed for many images at once."""

    pooling = "the mean over images"

    @abstractmethod
    def scores(self, images: PairBatch) -> Float64:
        """Compute the values of each image, float64[n, V]; NaN leaves it out of the mean."""

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: each value and whether it is defined."""
        return with_counts(self.scores(images))

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return mean_of(sums)


def with_counts(values: Float64) -> Float64:
    """Return the values of images with 0 for NaN, and whether each is defined: float64[n, 2 V]."""
    measured = ~np.isnan(values)
    return np.concatenate((np.where(measured, values, 0), measured), axis=1)


def mean_of(sums: Float64) -> Float64:
    """Compute means from sums of the terms of `with_counts`, float64[R, V]."""
    count = sums.shape[1] // 2
    return divided(sums[:, :count], sums[:, count:])


def divided(numerator: Float64, denominator: Float64) -> Float64:
    """Divide; NaN if the denominator is 0."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def spread(count: Float64, total: Float64, squares: Float64) -> tuple[Float64, Float64]:
    """Compute mean and standard deviation (n - 1) from the count and the sums."""
    mean = divided(total, count)
    left = np.where(count > 1, count - 1, 0)
    variance = divided(np.maximum(squares - count * mean * mean, 0), left)
    return mean, np.sqrt(variance)
