"""The linear model of an image's expected quality: values by hand, and refused settings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bigkingxxl.expected_quality import DIRECTIONS, ExpectedQuality, Term


def model(**terms: float) -> ExpectedQuality:
    return ExpectedQuality(
        terms={name: Term(centre=0.5, spread=0.25, weight=weight)
               for name, weight in terms.items()},
        base=0.4,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("hits", "rejected", "expected"),
    [(0.5, 0.5, 0.4), (0.75, 0.5, 0.5), (0.75, 0.75, 0.45), (0.5, 0.0, 0.5), (5.0, 0.5, 1.0),
     (-5.0, 0.5, 0.0)],
)  # fmt: skip
def test_a_spread_more_adds_a_weight(hits: float, rejected: float, expected: float) -> None:
    values = {"hits": hits, "rejected": rejected, "sureness": 0.9}
    assert model(hits=0.1, rejected=-0.05).of(values) == pytest.approx(expected)


def test_it_lives_in_json() -> None:
    own = model(hits=0.1, rejected=-0.2)
    assert ExpectedQuality.model_validate_json(own.model_dump_json()) == own


@pytest.mark.parametrize(
    "terms",
    [{"hits": -0.1}, {"rejected": 0.1}, {"brightness": 0.1}, {}, {"hits": float("nan")}],
)
def test_unknown_inputs_and_wrong_signs_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model(**terms)
    with pytest.raises(ValidationError):
        Term(centre=0.0, spread=0.0, weight=1.0)


def test_directions_are_signs() -> None:
    assert set(DIRECTIONS.values()) == {1, -1}
