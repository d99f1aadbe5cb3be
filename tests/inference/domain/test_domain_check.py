from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.domain.domain_check import warnings_for
from bigkingxxl.inference.domain.image_statistics import image_statistics
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard
from tests.small_models import small_card

PIXELS = np.random.default_rng(0).normal(100, 9, (120, 160))


def card(**values: Any) -> ModelCard:
    return small_card(("flat", "round"), **values)


def squares(side: int, count: int, kind: int = 1) -> Instances:
    labels = np.zeros((120, 160), np.int32)
    for index in range(count):
        row, col = divmod(index, 5)
        labels[row * 30 : row * 30 + side, col * 30 : col * 30 + side] = index + 1
    kinds = np.full(count, kind, np.int16)
    return replace(Instances.from_label_map(labels), cell_type=kinds, type_names=("flat", "round"))


def told(model: ModelCard, cells: Instances, pixels: Any = PIXELS, ratio: float = 1.0) -> list[str]:
    seen = replace(Candidates.empty((120, 160)), scale_ratio=ratio)
    return warnings_for(model, ArrayImage(pixels), seen, cells)


def test_a_model_without_statistics_gives_no_warning() -> None:
    assert told(card(), squares(9, 6)) == []


def test_unusual_statistics_are_warned_of() -> None:
    model = card()
    own = image_statistics(ArrayImage(PIXELS), model.normalisation)
    known = {name: (value - 0.1, value + 0.1) for name, value in own.items()}
    assert told(model.changed(image_statistics=known), squares(9, 6)) == []
    known["coarse"] = (0.5, 0.9)
    (sentence,) = told(model.changed(image_statistics=known), squares(9, 6))
    assert "varies less over long distances" in sentence
    known["coarse"] = (own["coarse"] - 0.6, own["coarse"] - 0.5)
    (sentence,) = told(model.changed(image_statistics=known), squares(9, 6))
    assert "varies more over long distances" in sentence


def test_blank_images_give_no_warning() -> None:
    model = card(image_statistics={"coarse": (0.5, 0.9)})
    assert told(model, squares(9, 0), np.zeros((120, 160))) == []


@pytest.mark.parametrize(
    ("side", "count", "kind", "ratio", "odd"),
    [
        # A square of 10 x 10 is as large as a disc of diameter 11.3.
        (10, 8, 1, 1.0, False), (26, 8, 1, 1.0, True), (26, 8, 0, 1.0, False),
        (10, 8, 0, 1.0, True), (26, 4, 1, 1.0, False), (20, 8, 1, 0.5, False),
        (5, 8, 1, 1.0, True), (5, 8, 1, 2.0, False),
    ],
)  # fmt: skip
def test_diameters(side: int, count: int, kind: int, ratio: float, odd: bool) -> None:
    model = card(image_diameters={"flat": (24.0, 32.0), "round": (10.0, 14.0)}, median_diameter=12)
    sentences = told(model, squares(side, count, kind), ratio=ratio)
    assert any("median diameter" in each for each in sentences) == odd
