"""Bootstrap intervals: how far a mean over few images may be off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Interval = tuple[float, float]
RESAMPLES = 2000
LEVEL = 0.95


def bootstrap_means(values: Float64, *, seed: int = 0, resamples: int = RESAMPLES) -> Float64:
    """float64[resamples]: means of float64[n] values drawn anew with replacement, n >= 1."""
    rng = np.random.default_rng(seed)
    count = len(values)
    return np.array([values[rng.integers(0, count, count)].mean() for _ in range(resamples)])


def interval_of(samples: Float64, level: float = LEVEL) -> Interval:
    """The percentile interval that holds `level` of the samples (Efron 1979)."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(values: Float64, *, seed: int = 0, level: float = LEVEL) -> Interval:
    """The interval of the mean of float64[n] values, n >= 1."""
    return interval_of(bootstrap_means(values, seed=seed), level)


def weighted_interval(
    strata: Mapping[str, Float64],
    weights: Mapping[str, float],
    *,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """The interval of the weighted mean of the strata's means, each stratum drawn within itself.

    Args:
        strata: name to float64[n], n >= 1; weights: name to weight, one for each stratum at least.
    """
    total = sum(weights[name] for name in strata)
    # A seed of its own keeps the strata independent of each other.
    means = [
        weights[name] / total * bootstrap_means(values, seed=seed + place)
        for place, (name, values) in enumerate(sorted(strata.items()))
    ]
    return interval_of(np.sum(means, axis=0), level)
