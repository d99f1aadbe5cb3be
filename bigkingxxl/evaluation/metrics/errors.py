"""The kinds of errors: missed, inexact, merged, split and spurious cells."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.error_kinds import (
    INEXACT,
    MERGED,
    MISSED,
    NAMES,
    SPLIT,
    SPURIOUS,
    kind_codes,
)
from bigkingxxl.evaluation.metrics.base import Float64, JoinedMetric, Value, divided
from bigkingxxl.evaluation.pair_batch import PairBatch

KINDS = (MISSED, SPURIOUS, MERGED, SPLIT, INEXACT)


class Errors(JoinedMetric):
    """The number of errors of each kind per 100 annotated cells; see `evaluation.error_kinds`."""

    name = "errors"
    title = "kinds of error"
    formula = (
        "cells per 100 annotated cells. Of annotated cells without a hit at IoU 0.5: merged, more "
        "than half lies in a predicted cell that covers more than half of another too; split, two "
        "or more predicted cells lie in it by more than half; inexact, paired at an IoU of 0.1 to "
        "0.5; else missed. Spurious: a predicted cell that is none of these"
    )
    pooling = "cells of each kind are summed over all images first"
    empty = "contributes only its spurious cells if it has no annotated cells"
    source = "BigKingXXL; after Caicedo et al. 2019, Evaluation of deep learning strategies"

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        each = (Value(f"errors.{kind}", f"{kind} cells", "per 100 annotated", -1) for kind in KINDS)
        return tuple(each)

    def terms_of(self, images: PairBatch) -> Float64:
        """Compute terms: the cells of each kind, and the annotated cells."""
        truth, predicted = kind_codes(images.whole)
        of_truth = images.tabled(images.truth_image, truth, len(NAMES))
        spurious = images.summed(images.predicted_image[predicted == NAMES.index(SPURIOUS)])
        of_truth[:, NAMES.index(SPURIOUS)] = spurious
        kinds = of_truth[:, [NAMES.index(kind) for kind in KINDS]]
        return np.concatenate((kinds, images.truth_counts[:, None]), axis=1)

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return 100 * divided(sums[:, :-1], sums[:, -1:])
