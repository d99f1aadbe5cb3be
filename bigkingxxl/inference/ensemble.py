"""Several predictors as one."""

from __future__ import annotations

from collections.abc import Sequence

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import Predictor


class Ensemble:
    """Everything any of the predictors sees; selection's mask NMS keeps the surest of each cell.

    Args:
        predictors: at least one, over the same cell types.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        if not predictors:
            raise InputError("an ensemble needs at least one model")
        self.predictors = tuple(predictors)

    def candidates(self, source: ImageSource) -> Candidates:
        """See `Predictor.candidates`."""
        parts = [predictor.candidates(source) for predictor in self.predictors]
        if len({part.type_names for part in parts}) > 1:
            names = " and ".join(", ".join(part.type_names) or "none" for part in parts)
            raise InputError(f"models of different cell types cannot be joined ({names})")
        return Candidates.concatenate(parts)
