"""The published schema of recipes agrees with the program on config files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.config_files.python_text import read_python
from bigkingxxl.config_files.reading import read_config
from bigkingxxl.errors import SettingsError
from bigkingxxl.methods.registry import METHODS, make_method
from bigkingxxl.settings import checked
from bigkingxxl.training.recipe import Recipe, load_recipe, recipe_folder
from bigkingxxl.training.recipe_schema import recipe_schema

ROOT = Path(__file__).parents[2]
SCHEMA = recipe_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(app, ["recipes", "--schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(json.dumps(SCHEMA))
    Draft202012Validator.check_schema(json.loads(result.stdout))


def test_it_is_not_that_of_one_recipe() -> None:
    assert CliRunner().invoke(app, ["recipes", "unetr", "--schema"]).exit_code == 2


@pytest.mark.parametrize(
    "path",
    [
        *recipe_folder().glob("[!_]*.py"),
        *ROOT.glob("mmdnet_config/*.py"),
        *ROOT.glob("detectron/*.py"),
    ],
    ids=lambda path: path.stem,
)
def test_configs_are_valid_as_they_stand_and_in_full(path: Path) -> None:
    alone = read_python(path.read_text("utf-8")).values
    assert list(VALIDATOR.iter_errors(alone)) == []
    assert list(VALIDATOR.iter_errors(read_config(path, recipe_folder()).values)) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"extends": "compact"}, True),
        ({"extends": "compact", "training": {"epochs": 3}}, True),
        ({"extends": "compact", "without": ["training"]}, True),
        ({"extends": "compact", "without": "training"}, True),
        ({"extends": "compact", "training": {"epoch": 3}}, False),
        ({"extends": "compact", "settings": {"representation_settings": {"size": True}}}, True),
        ({"extends": "unetr", "method": "unetr", "settings": {"heads": 2}}, True),
        ({"extends": "unetr", "method": "unetr", "settings": {"haeds": 2}}, False),
        ({"extends": "compact", "method": "compact",
          "settings": {"representation_settings": {"size": True}}}, True),
        ({"extends": 3}, False),
        ({"extends": "compact", "without": 3}, False),
        ({"method": "compact", "without": ["training"]}, False),
    ],
)  # fmt: skip
def test_an_extending_file_may_omit_inherited_settings(
    values: dict[str, Any], expected: bool, tmp_path: Path
) -> None:
    assert VALIDATOR.is_valid(values) == expected
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(values))
    try:
        recipe = load_recipe(str(path))
        make_method(recipe.method, recipe.settings, ("cell",))
    except SettingsError:
        assert not expected
    else:
        assert expected


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
