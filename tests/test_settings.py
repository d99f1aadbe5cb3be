"""Settings: unknown keys name the nearest one, and impossible values say what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from bigkingxxl.config_files.parsed import Place
from bigkingxxl.errors import SettingsError
from bigkingxxl.settings import Settings, checked, nearest


class Parameters(Settings):
    score_threshold: float = Field(0.3, ge=0, le=1)
    minimum_area: int = 20


class Optimiser(Settings):
    name: Literal["AdamW", "SGD"] = "AdamW"
    learning_rate: float = 1e-3


class Recipe(Settings):
    epochs: int = Field(10, ge=1)
    data: str
    optimiser: Optimiser = Optimiser()
    by_type: dict[str, Parameters] = Field(default_factory=dict)
    stages: tuple[Parameters, ...] = ()
    extra: Parameters | None = None

    @field_validator("data")
    @classmethod
    def _no_spaces(cls, value: str) -> str:
        if " " in value:
            raise ValueError("Spaces are not allowed in 'Data'")
        return value


def refused(values: dict[str, Any]) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        checked(Recipe, {"data": "d", **values}, where="recipe.yaml")
    text = str(caught.value)
    assert text.startswith("recipe.yaml: ")
    assert "\n" not in text
    assert len(text) < 250
    return caught.value


@pytest.mark.parametrize(
    ("values", "key", "suggestion"),
    [
        ({"epoch": 3}, "epoch", "epochs"),
        ({"optimizer": {}}, "optimizer", "optimiser"),
        ({"optimiser": {"learning_rat": 1}}, "optimiser.learning_rat", "learning_rate"),
        ({"by_type": {"astro": {"min_area": 1}}}, "by_type.astro.min_area", "minimum_area"),
        ({"by_type": {"data": {"score_treshold": 1}}}, "by_type.data.score_treshold",
         "score_threshold"),
        ({"stages": [{}, {"minimum_aera": 1}]}, "stages.1.minimum_aera", "minimum_area"),
        ({"extra": {"score": 1}}, "extra.score", "score_threshold"),
    ],
)  # fmt: skip
def test_an_unknown_key_names_the_nearest_valid_one(
    values: dict[str, Any], key: str, suggestion: str
) -> None:
    error = refused(values)
    assert (error.key, error.did_you_mean) == (key, suggestion)
    assert key in str(error)
    assert suggestion in str(error)


def test_a_key_like_no_other_lists_the_known_ones() -> None:
    error = refused({"qqqq": 1})
    known = ("by_type", "data", "epochs", "extra", "optimiser", "stages")
    assert (error.key, error.did_you_mean, error.expected) == ("qqqq", None, known)
    assert all(name in str(error) for name in known)
    assert nearest("a", []) == ""


@pytest.mark.parametrize(
    ("values", "key", "found"),
    [
        ({"epochs": 0}, "epochs", 0),
        ({"epochs": "many"}, "epochs", "many"),
        ({"optimiser": {"name": "adam"}}, "optimiser.name", "adam"),
        ({"data": "a b"}, "data", "a b"),
        ({"epochs": list(range(1000))}, "epochs", list(range(1000))),
    ],
)
def test_an_invalid_value_is_reported_with_the_expected_ones(
    values: dict[str, Any], key: str, found: Any
) -> None:
    error = refused(values)
    assert (error.key, error.found) == (key, found)
    assert error.expected is not None


def test_a_missing_key_is_called_missing() -> None:
    with pytest.raises(SettingsError) as caught:
        checked(Recipe, {})
    assert (caught.value.key, caught.value.expected) == ("data", "missing")


def test_the_origin_of_a_value_is_reported_if_known() -> None:
    places: dict[tuple[str | int, ...], Place] = {("optimiser", "name"): Place("mine.toml", 7)}
    with pytest.raises(SettingsError) as caught:
        checked(
            Recipe, {"data": "d", "optimiser": {"name": "x"}}, "mine", lambda keys: places[keys]
        )
    assert (caught.value.file, caught.value.line) == (Path("mine.toml"), 7)
    assert str(caught.value).startswith("mine.toml, line 7: ")


def test_a_changed_copy_is_checked_and_the_first_stays() -> None:
    recipe = checked(Recipe, {"data": "d"})
    assert recipe.changed(epochs=3).epochs == 3
    assert recipe.epochs == 10
    with pytest.raises(SettingsError) as caught:
        recipe.changed(epochs=-1)
    assert (caught.value.key, caught.value.found) == ("epochs", -1)
    with pytest.raises(ValidationError):
        recipe.epochs = 4  # type: ignore[misc]


# ---- values that nothing can be done with --------------------------------------------------------


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), "inf", "1e400"])
@pytest.mark.parametrize("key", ["learning_rate", "pair"])
def test_no_setting_is_infinite_or_nan(key: str, value: Any) -> None:
    class Numbers(Settings):
        learning_rate: float = 1.0
        pair: tuple[float, float] = (1.0, 2.0)

    given = (1.0, value) if key == "pair" else value
    with pytest.raises(SettingsError) as caught:
        checked(Numbers, {key: given})
    assert caught.value.key == ("pair.1" if key == "pair" else key)


@pytest.mark.parametrize("value", [10**20, -(10**20)])
def test_excessive_numbers_are_refused(value: int) -> None:
    class Counts(Settings):
        epochs: int = 1

    with pytest.raises(SettingsError) as caught:
        checked(Counts, {"epochs": value})
    assert "'epochs'" in str(caught.value)
