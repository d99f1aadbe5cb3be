"""Models are chosen by the cells that `predict` finds, in images out of focus, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.cells_as_predicted import cells_as_predicted, note_on_blurred
from bigkingxxl.evaluation.tuning import Tuner
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.selection import Selection
from tests.blurred import discs, found_in, seen

POINTS = OperatingPoints()
LABELS = discs(60)


@pytest.mark.parametrize(
    ("blur", "truth", "cells"),
    [
        (1, LABELS, 3),
        (30, 0 * LABELS, 0),  # no cells are annotated, so what is found there is debris
        (30, LABELS, 3),  # a person declared that these are cells
    ],
)
def test_annotations_decide_about_blurred_images(blur: float, truth: Any, cells: int) -> None:
    annotated, source = Instances.from_label_map(truth), seen(LABELS, blur)
    found = cells_as_predicted(source, found_in(LABELS), POINTS, annotated)
    assert len(found) == cells
    as_predict = Selection(POINTS).cells_of(source, found_in(LABELS))[0]
    declared = note_on_blurred({"a": source}.__getitem__, {"a": annotated}) is not None
    assert declared == (len(found) != len(as_predict))


class Blurred:
    """A cache of one image that is out of focus."""

    decode_grid: Mapping[str, Sequence[Any]] = {}
    decode_defaults: Mapping[str, Any] = {}
    zooms: Sequence[float] = ()

    def source(self, image_id: str) -> ImageSource:
        return seen(LABELS, 30)

    def predict(self, image_id: str) -> None:
        pass

    def decode(self, image_id: str, parameters: Mapping[str, Any]) -> Candidates:
        return found_in(LABELS)

    def voted_type(self, image_id: str) -> None:
        return None


def test_a_tuned_model_is_scored_by_what_predict_finds() -> None:
    nothing = Instances.from_label_map(0 * LABELS)
    tuner = Tuner(Blurred(), {"a": nothing}, {"a": None})
    assert len(tuner.predict("a", POINTS)) == 0
    assert len(tuner.candidates("a", {})) == 3


def test_cells_are_counted_after_they_compete() -> None:
    """A cell outside what is annotated takes pixels from its neighbour, as in `predict`."""
    labels = np.zeros((40, 60), np.int32)
    labels[5:25, 5:25] = 1
    both = Candidates.concatenate([
        Candidates.from_label_map(np.roll(labels, 8, axis=1), (np.roll(labels, 8, axis=1) > 0)
                                  * np.float32(1), np.array([0.9], np.float32)),
        Candidates.from_label_map(labels, (labels > 0) * np.float32(1),
                                  np.array([0.8], np.float32)),
    ])  # fmt: skip
    ignored = np.zeros(labels.shape, bool)
    ignored[:, 20:] = True

    class Two(Blurred):
        def source(self, image_id: str) -> ImageSource:
            return seen(labels, 1)

        def decode(self, image_id: str, parameters: Mapping[str, Any]) -> Candidates:
            return both

    tuner = Tuner(Two(), {"a": Instances.from_label_map(labels)}, {"a": None},
                  ignored={"a": ignored})  # fmt: skip
    points = POINTS.each(
        lambda point: point.changed(select=point.select.changed(nms_iou=0.9).model_dump())
    )
    (area,) = tuner.predict("a", points).areas()
    assert area == 20 * 8
