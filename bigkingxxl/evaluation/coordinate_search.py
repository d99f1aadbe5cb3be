"""Coordinate search: one parameter at a time, which changes only if the paired gain is clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.confidence_bound import lower_confidence_bound

Float64 = NDArray[np.float64]
T = TypeVar("T")
# The least gain, as a lower confidence bound, at which a parameter changes.
CLEAR_GAIN = 0.001
PASSES = 3


def coordinate_search(
    start: T,
    moves: Sequence[Callable[[T], list[T]]],
    scores: Callable[[T], Float64],
    ids: Sequence[str],
    groups: Mapping[str, str],
) -> T:
    """Search move by move for a choice that clearly raises the score, until nothing changes.

    Args:
        start: The first choice.
        moves: Each returns the choices to try, given the best one so far.
        scores: Returns the score of each image under a choice, float64[N].
        ids: The images, in the order of their scores.
        groups: The group of each image.
    """
    best, best_scores = start, scores(start)
    for _ in range(PASSES):
        before = best
        for move in moves:
            tried = move(best)
            found = [scores(each) for each in tried]
            sure = [lower_confidence_bound(each - best_scores, ids, groups) for each in found]
            if max(sure) > CLEAR_GAIN:
                chosen = int(np.argmax(sure))
                best, best_scores = tried[chosen], found[chosen]
        if best == before:
            break
    return best
