"""The views of test-time augmentation, and their names."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bigkingxxl.errors import InputError, SettingsError
from bigkingxxl.geometry import SYMMETRIES, Symmetry
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.settings import checked
from bigkingxxl.test_time_augmentation import (
    AUGMENTATIONS,
    ZOOMS,
    as_text,
    asked_augmentations,
    augmentations,
    symmetries,
    view_count,
    zooms,
)


@pytest.mark.parametrize(
    ("text", "names", "count"),
    [
        ("none", (), 1), ("", (), 1), ("mirror", ("mirror",), 2), ("flips", ("flips",), 4),
        ("turns", ("turns",), 4), ("turns, flips", ("flips", "turns"), 8),
        ("mirror,turns", ("mirror", "turns"), 8), ("scales", ("scales",), 3),
        ("scales,turns,flips,flips", ("flips", "turns", "scales"), 24),
    ],
)  # fmt: skip
def test_texts_and_how_many_views_they_mean(text: str, names: tuple[str, ...], count: int) -> None:
    assert augmentations(text) == names
    assert view_count(names) == len(symmetries(names)) * len(zooms(names)) == count
    assert len(set(symmetries(names))) == len(symmetries(names))
    assert augmentations(as_text(names)) == names
    assert symmetries(names)[0] == Symmetry()
    assert zooms(names)[0] == 1


def test_flips_keep_the_frame_and_turns_do_not() -> None:
    assert all(each.quarter_turns % 2 == 0 for each in symmetries(["flips"]))
    assert not any(each.flip for each in symmetries(["turns"]))
    assert set(symmetries(["flips", "turns"])) == set(SYMMETRIES)
    assert sum(np.log(ZOOMS)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("value", ["spin", "none,flips", 4, [1], None, "flips;turns"])
def test_unknown_augmentations_are_refused(value: object) -> None:
    with pytest.raises(InputError):
        asked_augmentations(value)
    with pytest.raises(SettingsError):
        checked(PredictionSettings, {"tta": value})


def test_settings_take_texts_and_lists_and_keep_one_form() -> None:
    for value in ("scales,flips", ["flips", "scales"], ("scales", "flips")):
        settings = checked(PredictionSettings, {"tta": value})
        assert settings.tta == ("flips", "scales")
        kept = json.loads(settings.model_dump_json())
        assert checked(PredictionSettings, kept) == settings
        assert checked(PredictionSettings, {}).changed(tta=value) == settings


@pytest.mark.parametrize(("flips", "names"), [(1, ()), (2, ("mirror",)), (4, ("flips",))])
def test_models_of_earlier_versions_give_a_number_of_flips(
    flips: int, names: tuple[str, ...]
) -> None:
    assert checked(PredictionSettings, {"flips": flips}).tta == names


@pytest.mark.parametrize(
    "values", [{"flips": 3}, {"flips": "4"}, {"flips": 2, "tta": "turns"}, {"flips": True + 2}]
)
def test_invalid_flips_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        checked(PredictionSettings, values)


def test_every_name_is_documented_in_the_settings() -> None:
    told = PredictionSettings.__doc__ or ""
    assert all(f"'{name}'" in told for name in AUGMENTATIONS)
