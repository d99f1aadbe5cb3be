"""Bootstrap intervals of means over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Interval = tuple[float, float]
RESAMPLES = 2000
LEVEL = 0.95


def member_of(ids: Sequence[str], groups: Mapping[str, str]) -> Int64:
    """Return the index of the group of each id, int64[n]; an id without a group is its own."""
    # The prefixes distinguish the name of a group from the id of an image without one.
    names = [f"group {groups[name]}" if name in groups else f"alone {name}" for name in ids]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def resampled_weights(member: Int64, *, seed: int = 0, resamples: int = RESAMPLES) -> Float64:
    """Return how often each value occurs in each resample, float64[resamples, n].

    Complete groups are drawn with replacement, because images of one field or well are correlated.

    Args:
        member: int64[n], the group of each value, numbered from 0.
        seed: The random seed.
        resamples: The number of resamples.

    Source: the cluster bootstrap (Field and Welsh 2007).
    """
    count = int(member.max()) + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn[:, member].astype(np.float64)


def bootstrap_means(
    values: Float64,
    *,
    member: Int64 | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Float64:
    """Compute bootstrap means of float64[n] values, float64[resamples], resampled by group."""
    if member is None:
        member = np.arange(len(values))
    weights = resampled_weights(member, seed=seed, resamples=resamples)
    return np.asarray(weights @ values / weights.sum(axis=1))


def interval_of(samples: Float64, level: float = LEVEL) -> Interval:
    """Return the percentile interval that contains `level` of the samples (Efron 1979)."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(
    values: Float64, *, member: Int64 | None = None, seed: int = 0, level: float = LEVEL
) -> Interval:
    """Compute the interval of the mean of float64[n] values; NaN if there is a single group."""
    if member is None:
        member = np.arange(len(values))
    if member.max() == 0:
        return np.nan, np.nan
    return interval_of(bootstrap_means(values, member=member, seed=seed), level)


def weighted_interval(
    strata: Mapping[str, Float64],
    weights: Mapping[str, float],
    *,
    members: Mapping[str, Int64] | None = None,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Compute the interval of a weighted mean of strata, each of which is resampled by itself.

    Args:
        strata: float64[n] values by name, n >= 1.
        weights: The weight of at least each stratum, by name.
        members: int64[n], the group of each value, by name.
        seed: The random seed.
        level: The confidence level.
    """
    total = sum(weights[name] for name in strata)
    # A separate seed keeps the strata independent of each other.
    means = [
        weights[name]
        / total
        * bootstrap_means(
            values, member=None if members is None else members[name], seed=seed + place
        )
        for place, (name, values) in enumerate(sorted(strata.items()))
    ]
    return interval_of(np.sum(means, axis=0), level)
