"""The kind of error of each cell, or that it was found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.pairing import ImagePair

NAMES = ("found", "inexact", "merged", "split", "missed", "spurious")
FOUND, INEXACT, MERGED, SPLIT, MISSED, SPURIOUS = NAMES
LEAST_IOU = 0.1  # the least IoU of two cells that are the same cell, inexactly outlined
Names = NDArray[np.str_]
Int64 = NDArray[np.int64]


class Kinds(NamedTuple):
    """The kind of every cell.

    Attributes:
        truth: str[N]: found, inexact, merged, split or missed.
        predicted: str[M]: found, inexact, merged (covers several), split (a part) or spurious.
    """

    truth: Names
    predicted: Names


def kinds_of(pair: ImagePair) -> Kinds:
    """Classify every cell of an image at an IoU of 0.5; see `metrics.errors`."""
    truth, predicted = (np.array(NAMES)[codes] for codes in kind_codes(pair))
    return Kinds(truth, predicted)


def kind_codes(pair: ImagePair) -> tuple[Int64, Int64]:
    """Classify like `kinds_of`, but return indices into `NAMES`."""
    first, second, _ = pair.overlaps
    found, inexact, merged, split, missed, spurious = range(len(NAMES))
    truth = np.full(len(pair.truth_areas), missed)
    predicted = np.full(len(pair.predicted_areas), spurious)
    # Later assignments take precedence.
    close = _closest(pair)
    truth[first[close]], predicted[second[close]] = inexact, inexact
    within = np.flatnonzero(pair.predicted_within)
    parts = within[np.bincount(first[within], minlength=len(truth))[first[within]] > 1]
    truth[first[parts]], predicted[second[parts]] = split, split
    covered = np.flatnonzero(pair.truth_within)
    joined = covered[np.bincount(second[covered], minlength=len(predicted))[second[covered]] > 1]
    truth[first[joined]], predicted[second[joined]] = merged, merged
    hits = pair.hits()
    truth[hits.truth], predicted[hits.predicted] = found, found
    return truth, predicted


def _closest(pair: ImagePair) -> NDArray[np.int64]:
    """Return unmatched pairs that are each other's best, with an IoU of at least `LEAST_IOU`."""
    hits = pair.hits()
    truth_free = np.ones(len(pair.truth_areas), bool)
    predicted_free = np.ones(len(pair.predicted_areas), bool)
    truth_free[hits.truth] = predicted_free[hits.predicted] = False
    free = truth_free[pair.overlaps.first] & predicted_free[pair.overlaps.second]
    some = np.flatnonzero(free & (pair.iou >= LEAST_IOU))
    best_truth = np.zeros(len(pair.truth_areas))
    best_predicted = np.zeros(len(pair.predicted_areas))
    first, second, iou = pair.overlaps.first[some], pair.overlaps.second[some], pair.iou[some]
    np.maximum.at(best_truth, first, iou)
    np.maximum.at(best_predicted, second, iou)
    mutual: NDArray[np.int64] = some[(iou == best_truth[first]) & (iou == best_predicted[second])]
    return mutual
