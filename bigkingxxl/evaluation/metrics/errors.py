"""What kinds of mistakes there are: cells missed, inexact, merged, split and spurious."""

from __future__ import annotations

import numpy as np

from bigkingxxl.evaluation.error_kinds import INEXACT, MERGED, MISSED, SPLIT, SPURIOUS, kinds_of
from bigkingxxl.evaluation.metrics.base import Float64, Metric, Value, divided
from bigkingxxl.evaluation.pairing import ImagePair

KINDS = (MISSED, SPURIOUS, MERGED, SPLIT, INEXACT)


class Errors(Metric):
    """How many of each kind per 100 annotated cells; see `evaluation.error_kinds`."""

    name = "errors"
    title = "kinds of error"
    formula = (
        "cells per 100 annotated cells. Of annotated cells without a hit at IoU 0.5: merged, more "
        "than half lies in a predicted cell that covers more than half of another too; split, two "
        "or more predicted cells lie in it by more than half; inexact, paired at an IoU of 0.1 to "
        "0.5; else missed. Spurious: a predicted cell that is none of these"
    )
    pooling = "cells of each kind are summed over all images first"
    empty = "adds nothing without annotated cells but its spurious cells"
    source = "BigKingXXL; after Caicedo et al. 2019, Evaluation of deep learning strategies"

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        each = (Value(f"errors.{kind}", f"{kind} cells", "per 100 annotated", -1) for kind in KINDS)
        return tuple(each)

    def terms(self, pair: ImagePair) -> tuple[int, ...]:
        """See `Metric.terms`: cells of each kind, and annotated cells."""
        kinds = kinds_of(pair)
        counts = {kind: int(np.sum(kinds.truth == kind)) for kind in (MISSED, MERGED, SPLIT,
                                                                      INEXACT)}  # fmt: skip
        counts[SPURIOUS] = int(np.sum(kinds.predicted == SPURIOUS))
        return (*(counts[kind] for kind in KINDS), len(pair.truth_areas))

    def ratio(self, sums: Float64) -> Float64:
        """See `Metric.ratio`."""
        return 100 * divided(sums[:, :-1], sums[:, -1:])
