"""Search one coordinate at a time: a choice moves only where the gain on paired images is clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.confidence_bound import lower_confidence_bound

Float64 = NDArray[np.float64]
T = TypeVar("T")
# The least gain in score, surely reached, that moves a parameter.
CLEAR_GAIN = 0.001
PASSES = 3


def coordinate_search(
    start: T,
    moves: Sequence[Callable[[T], list[T]]],
    scores: Callable[[T], Float64],
    ids: Sequence[str],
    groups: Mapping[str, str],
) -> T:
    """The choice whose changes surely raised the score, move by move, until a pass changes nothing.

    Args:
        moves: each makes the choices to try from the best one so far.
        scores: float64[N], the score of each image under a choice.
        ids: the images, in the order of their scores; groups: the group of each.
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
