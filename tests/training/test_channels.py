"""All images of a training have the same channels, also those that its recipe adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bigkingxxl.errors import InputError
from bigkingxxl.shipped_models import SHIPPED
from bigkingxxl.training.channels import check_companions
from bigkingxxl.training.recipe import Recipe
from tests.refusals import refused
from tests.training.finetune.data import fields, save


def recipe(**settings: Any) -> Recipe:
    return Recipe.model_validate({"method": "compact", **settings})


def test_images_of_one_channel_fit_what_recipes_add(tmp_path: Path) -> None:
    gray = save(tmp_path / "gray", fields(1))
    check_companions(
        recipe(varied_images=2, replay=(str(gray),), teacher={"model": "sartorius"}), 1
    )


def test_simulated_images_have_one_channel() -> None:
    with refused(InputError, key="varied_images", found=2, expected=1):
        check_companions(recipe(varied_images=2), 2)


def test_replayed_images_of_other_channels_are_refused(tmp_path: Path) -> None:
    gray = save(tmp_path / "gray", fields(1))
    with refused(InputError, file="gray", key="channels", found=1, expected=3):
        check_companions(recipe(replay=(str(gray),)), 3)


def test_teachers_of_other_channels_are_refused() -> None:
    path = str(SHIPPED["sartorius"].path)
    for name in ("sartorius", path):
        with refused(InputError, "sartorius", key="teacher", found=2, expected=1):
            check_companions(recipe(teacher={"model": name}), 2)
