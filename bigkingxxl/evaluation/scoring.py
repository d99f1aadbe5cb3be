"""Compute any metrics of compared images: values, intervals, by type, by image, and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.bootstrap import LEVEL, Interval, member_of, resampled_weights
from bigkingxxl.evaluation.metrics.base import Metric, Value
from bigkingxxl.evaluation.pair_batch import PairBatch
from bigkingxxl.evaluation.pairing import ImagePair

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
RESAMPLES_AT_ONCE = 1 << 22  # weights that are held at once
FEWEST_GROUPS = 6  # for a difference to be called clear


class Estimate(NamedTuple):
    """One value of a metric.

    Attributes:
        value: The value over all images; None if it is undefined.
        interval: The 95 % bootstrap interval over groups of images; None for a single group.
        by_type: The value over the images of each cell type.
    """

    what: Value
    value: float | None
    interval: Interval | None
    by_type: dict[str, float | None]


class Difference(NamedTuple):
    """The difference between two methods on the same images.

    Attributes:
        value: The difference; None if it is undefined.
        interval: Its 95 % bootstrap interval; None if it is undefined or there is a single group.
        groups: The number of groups of images.
    """

    what: Value
    value: float | None
    interval: Interval | None
    groups: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0, and there are enough groups for that to mean something.

        The differences of n groups have the same sign by chance with a probability of 2 / 2^n (sign
        test), and then every resample has it. Below 6 groups, that is more often than in 5 %.
        """
        if self.interval is None or self.groups < FEWEST_GROUPS:
            return False
        return not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a set of images.

    Attributes:
        metrics: The metrics.
        ids: The images.
        terms: The terms of each image, by metric.
        member: int64[n], the group of each image.
        cell_types: The cell type of each image.
        seed: The seed of the bootstrap.
    """

    metrics: tuple[Metric, ...]
    ids: tuple[str, ...]
    terms: Mapping[str, Sequence[Any]]
    member: Int64
    cell_types: tuple[str | None, ...]
    seed: int = 0

    @property
    def groups(self) -> int:
        """The number of groups of images."""
        return int(self.member.max()) + 1

    @cached_property
    def estimates(self) -> tuple[Estimate, ...]:
        """The estimates of every value of every metric."""
        return tuple(each for metric in self.metrics for each in self._of_metric(metric))

    @cached_property
    def by_key(self) -> dict[str, Estimate]:
        """The estimates by their keys."""
        return {each.what.key: each for each in self.estimates}

    @cached_property
    def per_image(self) -> dict[str, Float64]:
        """The values of each image, float64[n] by key; NaN if undefined."""
        alone = np.eye(1)
        result: dict[str, Float64] = {}
        for metric in self.metrics:
            each = np.array(
                [
                    metric.pooled([term], alone, self.member[:1])[0]
                    for term in self.terms[metric.key]
                ]
            )
            result |= {what.key: each[:, k] for k, what in enumerate(metric.values)}
        return result

    def _of_metric(self, metric: Metric) -> list[Estimate]:
        value = self.value(metric)
        samples = self.resampled(metric)
        types = sorted({kind for kind in self.cell_types if kind})
        shown = np.array([[kind == each for each in self.cell_types] for kind in types], np.float64)
        by_type = self._pooled(metric, shown) if len(types) > 1 else np.zeros((0, len(value)))
        return [
            Estimate(
                what,
                _number(value[k]),
                _interval(samples[:, k]),
                {kind: _number(row[k]) for kind, row in zip(types, by_type, strict=False)},
            )
            for k, what in enumerate(metric.values)
        ]

    def value(self, metric: Metric) -> Float64:
        """Compute the values of a metric over all images, float64[V]; NaN if undefined."""
        values: Float64 = self._pooled(metric, np.ones((1, len(self.ids))))[0]
        return values

    def resampled(self, metric: Metric) -> Float64:
        """Compute the values of bootstrap resamples, float64[R, V]; R = 0 for a single group."""
        if self.groups < 2:
            return np.zeros((0, len(metric.values)))
        weights = resampled_weights(self.member, seed=self.seed, resamples=metric.resamples)
        step = max(1, RESAMPLES_AT_ONCE // len(self.ids))
        parts = (weights[low : low + step] for low in range(0, len(weights), step))
        return np.concatenate([self._pooled(metric, part) for part in parts])

    def _pooled(self, metric: Metric, weights: Float64) -> Float64:
        return metric.pooled(self.terms[metric.key], weights, self.member)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            each.what.key: {
                "label": each.what.label, "unit": each.what.unit, "value": each.value,
                "interval_95": each.interval, "by_type": each.by_type,
            }
            for each in self.estimates
        }  # fmt: skip


def score_pairs(
    pairs: Mapping[str, ImagePair],
    metrics: Sequence[Metric],
    groups: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
) -> Scores:
    """Compute metrics of images whose cells have been compared.

    Args:
        pairs: The compared images.
        metrics: The metrics.
        groups: The field, well or sample of each image; a missing image is its own group.
        seed: The seed of the bootstrap.

    Raises:
        InputError: There is no image, or predicted cells overlap although a metric forbids it.
    """
    if not pairs:
        raise InputError("there is no image to score")
    terms: dict[str, list[Any]] = {metric.key: [] for metric in metrics}
    for metric in metrics:
        if metric.disjoint:
            for pair in pairs.values():
                pair.check_disjoint(metric.title)
    for images in PairBatch.in_parts(pairs.values()):
        for metric in metrics:
            terms[metric.key].extend(metric.terms_of(images))
    kinds = tuple(pair.cell_type for pair in pairs.values())
    member = member_of(list(pairs), groups or {})
    return Scores(tuple(metrics), tuple(pairs), terms, member, kinds, seed)


def difference(one: Scores, two: Scores) -> list[Difference]:
    """Compute the differences of all values between two methods on the same images.

    Both use the same resamples, so that the difficulty of images cancels.

    Raises:
        ValueError: The images or metrics differ.
    """
    same = one.ids == two.ids and np.array_equal(one.member, two.member)
    if not same or [m.key for m in one.metrics] != [m.key for m in two.metrics]:
        raise ValueError("only scores of the same metrics on the same images can be compared")
    result = []
    for ours, theirs in zip(one.metrics, two.metrics, strict=True):
        gaps = one.resampled(ours) - two.resampled(theirs)
        for k, what in enumerate(ours.values):
            mine, other = one.by_key[what.key].value, two.by_key[what.key].value
            known = mine is not None and other is not None
            result.append(
                Difference(
                    what,
                    mine - other if known else None,  # type: ignore[operator]
                    _interval(gaps[:, k]) if known else None,
                    one.groups,
                )
            )
    return result


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _interval(samples: Float64) -> Interval | None:
    """Return the interval of the defined resamples; None if fewer than half are defined."""
    measured = samples[~np.isnan(samples)]
    if not len(measured) or 2 * len(measured) < len(samples):
        return None
    low, high = np.quantile(measured, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
