"""Whether one way of deciding is better than another on the same images, or only luckier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
CONFIDENCE = 0.9


def lower_confidence_bound(
    gains: Float64, ids: Sequence[str], groups: Mapping[str, str], confidence: float = CONFIDENCE
) -> float:
    """What the mean gain is at least: the lower end of its one-sided Student interval.

    Images of a group (the same field, well or sample) win or lose together, so groups are what
    varies. A single group proves nothing: minus infinity.

    Args:
        gains: float64[N], one a paired image; groups: the group of each image, left out its own.
        confidence: that the true gain lies above the returned value.
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
