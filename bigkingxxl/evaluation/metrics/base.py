"""What a metric is: numbers of each image that add up, and what is made of their sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.compared import ComparedImages
from bigkingxxl.evaluation.pairing import HALF, ImagePair

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class Value(NamedTuple):
    """One number that a metric gives.

    Attributes:
        key: its name in tables and JSON, such as 'pq' or 'counts.bias'.
        label: what people read.
        unit: '' for a share of 1, else 'pixels', 'cells', '%' ...
        better: 1 where more is better, -1 where less is, 0 where nearer to 0 is.
    """

    key: str
    label: str
    unit: str = ""
    better: int = 1

    def text(self, number: float | None) -> str:
        """A number of it as people read it, '-' where there is nothing to measure."""
        if number is None or number != number:  # NaN
            return "-"
        digits = {"": 3, "pixels": 2}.get(self.unit, 1)
        sign = "+" if self.better == 0 else ""
        return f"{number:{sign}.{digits}f}"

    @property
    def name(self) -> str:
        """The label with its unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


class Metric(ABC):
    """A metric of predicted against annotated cells.

    What an image contributes is computed by `terms`; the value of a set of images is made of the
    images' terms, each counted as often as its weight says (`pooled`): that gives the value of all
    images, of one, of a cell type, and of every resample of the bootstrap alike. NaN stands for
    'nothing to measure'.

    Attributes:
        name: what the user types, without a threshold; title: what people read.
        formula: in one line; accepts: which cells; pooling: how images are joined.
        empty: what an image without annotated or predicted cells gives; source: who defined it.
        disjoint: True where predicted cells must not overlap.
        takes_threshold: True where the user may say at which IoU ('f1@0.75').
        needs_pixels: True where overlaps are not enough, which costs time.
        resamples: of the bootstrap, at most.
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
        """Make the metric.

        Args:
            threshold: the IoU at which a cell counts as found.
            types: the cell types of the truth.
        """
        self.threshold = threshold
        self.types = tuple(types)

    @property
    def key(self) -> str:
        """Its name with the threshold: 'f1@0.5'."""
        if not self.takes_threshold:
            return self.name
        return f"{self.name}@{float(self.threshold):g}"

    @property
    @abstractmethod
    def values(self) -> tuple[Value, ...]:
        """The V numbers that it gives."""

    @abstractmethod
    def terms(self, pair: ImagePair) -> Any:
        """What one image contributes: K numbers that add up, unless `pooled` is overridden."""

    def terms_of(self, images: ComparedImages) -> Any:
        """What each of several images contributes (see `terms`), a sequence of n."""
        return [self.terms(pair) for pair in images.parts]

    def ratio(self, sums: Float64) -> Float64:
        """float64[R, V] from the sums float64[R, K] of images' terms."""
        raise NotImplementedError

    def pooled(self, terms: Sequence[Any], weights: Float64, groups: Int64) -> Float64:
        """float64[R, V]: the values of R sets of images.

        Args:
            terms: of each of n images; weights: float64[R, n], how often each set holds each image.
            groups: int64[n], which images are of the same field, well or sample.
        """
        del groups
        return self.ratio(weights @ np.array(terms, np.float64))


class MeanOverImages(Metric):
    """A metric of one image at a time, of which a set has the mean."""

    pooling = "the mean over images"

    @abstractmethod
    def scores(self, pair: ImagePair) -> Sequence[float]:
        """The V values of one image; NaN leaves the image out of the mean of that value."""

    def terms(self, pair: ImagePair) -> Float64:
        """See `Metric.terms`: each value and whether it is one."""
        found: Float64 = with_counts(np.array([self.scores(pair)], np.float64))[0]
        return found

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return mean_of(sums)


class JoinedMetric(Metric):
    """A metric that is computed of many images at once, which is a good deal faster."""

    @abstractmethod
    def terms_of(self, images: ComparedImages) -> Float64:
        """float64[n, K]: what each image contributes."""

    def terms(self, pair: ImagePair) -> Float64:
        """See `Metric.terms`."""
        found: Float64 = self.terms_of(ComparedImages((pair,)))[0]
        return found


class JoinedMean(JoinedMetric):
    """As `MeanOverImages`, computed of many images at once."""

    pooling = "the mean over images"

    @abstractmethod
    def scores(self, images: ComparedImages) -> Float64:
        """float64[n, V]: each image's values; NaN leaves it out of the mean of that value."""

    def terms_of(self, images: ComparedImages) -> Float64:
        """See `JoinedMetric.terms_of`: each value and whether it is one."""
        return with_counts(self.scores(images))

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return mean_of(sums)


def with_counts(values: Float64) -> Float64:
    """float64[n, 2 V]: the values of images, 0 for NaN, and whether each is one."""
    measured = ~np.isnan(values)
    return np.concatenate((np.where(measured, values, 0), measured), axis=1)


def mean_of(sums: Float64) -> Float64:
    """float64[R, V]: the means from sums of what `with_counts` gives."""
    count = sums.shape[1] // 2
    return divided(sums[:, :count], sums[:, count:])


def divided(numerator: Float64, denominator: Float64) -> Float64:
    """The quotient, NaN where the denominator is 0."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def spread(count: Float64, total: Float64, squares: Float64) -> tuple[Float64, Float64]:
    """Mean and standard deviation (n - 1) from the number of values, their sum and squares' sum."""
    mean = divided(total, count)
    left = np.where(count > 1, count - 1, 0)
    variance = divided(np.maximum(squares - count * mean * mean, 0), left)
    return mean, np.sqrt(variance)
