"""Images that are annotated in part, or not at all."""

from __future__ import annotations

import numpy as np

from bigkingxxl.data.groups import Groups
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.evaluation import evaluate_predictions
from bigkingxxl.evaluation.predictions import Predictions
from bigkingxxl.evaluation.truth import Truth
from bigkingxxl.instances import UNTYPED, Instances
from tests.refusals import refused

LABELS = np.zeros((20, 30), np.int32)
LABELS[2:10, 2:10] = 1
CELLS = Instances.from_label_map(LABELS)
OTHERS = Instances.from_label_map(np.roll(LABELS, 12, axis=1))


def truth(*without: str) -> Truth:
    """Two images; those that are named are not annotated anywhere."""
    cells = {name: CELLS if name not in without else CELLS.take(np.zeros(0, np.int64))
             for name in ("a", "b")}  # fmt: skip
    masks = {name: np.ones(CELLS.size, bool) for name in without}
    return Truth(
        path=None, ids=("a", "b"), type_names=(UNTYPED,), instances=cells.__getitem__,  # type: ignore[arg-type]
        known=dict.fromkeys("ab", CELLS.size), ignored=masks.get,
    )  # fmt: skip


def test_an_image_without_annotation_does_not_count_as_perfect() -> None:
    groups = Groups({"a": "a", "b": "b"}, "image")
    found = Predictions({"a": OTHERS, "b": CELLS}, {"a": OTHERS, "b": CELLS})
    result = evaluate_predictions(truth("b"), found, ("a", "b"), groups)
    assert tuple(result.pairs) == ("a",)
    assert result.competition.mean == 0
    assert any("(b)" in note for note in result.notes)
    with refused(InputError, found=2):
        evaluate_predictions(truth("a", "b"), found, ("a", "b"), groups)
