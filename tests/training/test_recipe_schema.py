"""The published schema of recipes says what the program itself says of a config file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.errors import SettingsError
from bigkingxxl.methods.registry import METHODS, make_method
from bigkingxxl.settings import checked, read_values
from bigkingxxl.training.recipe import Recipe, recipe_names
from bigkingxxl.training.recipe_schema import recipe_schema

SCHEMA = recipe_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def plain(values: dict[str, Any]) -> Any:
    """As a YAML or JSON file would say it."""

    def of_model(value: Any) -> Any:
        assert isinstance(value, BaseModel)
        return value.model_dump(mode="json")

    return json.loads(json.dumps(values, default=of_model))


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(app, ["recipes", "--schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == plain(SCHEMA)
    Draft202012Validator.check_schema(json.loads(result.stdout))


def test_it_is_not_that_of_one_recipe() -> None:
    assert CliRunner().invoke(app, ["recipes", "unetr", "--schema"]).exit_code == 2


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_valid(name: str) -> None:
    path = Path(str(resources.files("bigkingxxl.recipes") / f"{name}.py"))
    assert list(VALIDATOR.iter_errors(plain(read_values(path)))) == []


def accepts(values: dict[str, Any]) -> bool:
    """What the program says of the same values."""
    try:
        recipe = checked(Recipe, values)
        make_method(recipe.method, recipe.settings, ("cell",))
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"method": "compact"}, True),
        ({"method": "compact", "training": {"epochs": 3}}, True),
        ({}, False),
        ({"method": "kompakt"}, False),
        ({"method": "compact", "trainning": {}}, False),
        ({"method": "compact", "training": {"epochs": 0}}, False),
        ({"method": "compact", "training": {"optimizer": "sgd"}}, False),
        ({"method": "compact", "settings": {"widths": [8, 8, 8, 8]}}, True),
        ({"method": "compact", "settings": {"widths": [8, 8]}}, False),
        ({"method": "unetr", "settings": {"widths": [8, 8, 8, 8]}}, False),
        ({"method": "compact", "settings": {"representation": "flow"}}, False),
        ({"method": "compact", "settings": {"representation_settings": {"steps": "x"}}}, False),
        ({"method": "compact", "settings": {"representation": "watershed",
                                            "representation_settings": {"nothing": 1}}}, False),
        ({"method": "mask_rcnn", "settings": {"representation": "flows"}}, False),
        ({"method": "compact", "seed": -1}, False),
        ({"method": "compact", "cell_types": ["a", "b"], "pixel_size_um": [0.5, 0.5]}, True),
    ],
)  # fmt: skip
def test_it_agrees_with_the_program(values: dict[str, Any], expected: bool) -> None:
    assert VALIDATOR.is_valid(values) == accepts(values) == expected


def test_every_method_has_its_settings_in_it() -> None:
    for name in METHODS:
        own = SCHEMA["$defs"][f"method {name}"]
        assert own["additionalProperties"] is False
        assert not VALIDATOR.is_valid({"method": name, "settings": {"no_such_setting": 1}})
