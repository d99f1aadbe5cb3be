"""A lower confidence bound of a mean gain, to tell an improvement from chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
CONFIDENCE = 0.9


def lower_confidence_bound(
    gains: Float64, ids: Sequence[str], groups: Mapping[str, str], confidence: float = CONFIDENCE
) -> float:
    """Compute the lower end of the one-sided Student interval of a mean gain.

    Images of a group (the same field, well or sample) are correlated, so the bound is based on
    groups. A single group gives no evidence: the bound is minus infinity.

    Args:
        gains: float64[N], the gain of each image.
        ids: The ids of the images.
        groups: The group of each image; a missing image is its own group.
        confidence: The probability that the true gain exceeds the bound.

    Source: the cluster-robust standard error of a mean (Liang and Zeger 1986).
    """
    from scipy import stats

    names = [groups.get(image_id, f"alone {image_id}") for image_id in ids]
    _, member = np.unique(names, return_inverse=True)
    count = int(member.max(initial=-1)) + 1
    if count < 2:
        return -np.inf
    mean = float(gains.mean())
    sums = np.bincount(member, gains - mean)
    error = np.sqrt(count / (count - 1) * float((sums**2).sum())) / len(gains)
    return mean - float(stats.t.ppf(confidence, count - 1)) * float(error)
