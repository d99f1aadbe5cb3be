from __future__ import annotations

from pathlib import Path

import pytest

from bigkingxxl.errors import SettingsError
from bigkingxxl.methods.registry import make_method
from bigkingxxl.networks.cellpose import library_version
from bigkingxxl.training.recipe import load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_builds(name: str) -> None:
    recipe = load_recipe(name)
    if recipe.method == "cellpose" and (library_version() or "").partition(".")[0] != "3":
        pytest.skip("cellpose 3.1 is not installed")
    method = make_method(recipe.method, recipe.settings, ("a", "b"))
    assert sum(parameter.numel() for parameter in method.build().parameters()) > 1000


def test_assignments_and_seed_override_the_file(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("method: unetr\ntraining: {epochs: 3}\n")
    recipe = load_recipe(str(config), ["training.learning_rate=1e-4", "augment.flip=false"], 7)
    assert (recipe.training.epochs, recipe.training.learning_rate) == (3, 1e-4)
    assert (recipe.augment.flip, recipe.seed) == (False, 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("methd = 'unetr'", "did you mean 'method'"),
        ("method = 'unetr'\ntraining = {'epoch': 3}", "did you mean 'epochs'"),
        ("method = 'unetr'\ntraining = {'epochs': 0}", "training.epochs"),
        ("method = 'unetr'\naugment = {'size': 'big'}", "augment.size"),
        ("method = (", "cannot be read"),
    ],
)
def test_a_wrong_config_is_named(tmp_path: Path, text: str, expected: str) -> None:
    config = tmp_path / "mine.py"
    config.write_text(text)
    with pytest.raises(SettingsError, match=expected):
        load_recipe(str(config))


def test_the_model_to_start_from_may_be_given_beside_the_file() -> None:
    assert load_recipe("compact").init is None
    assert load_recipe("finetune").init == "bundled"
    assert load_recipe("finetune", init="mine.safetensors").init == "mine.safetensors"


def test_adapting_needs_a_model() -> None:
    with pytest.raises(SettingsError, match="name one in 'init'"):
        load_recipe("compact", ["adapt=true"])


def test_the_bundled_recipe_starts_from_the_shipped_model_and_brings_cells_to_one_width() -> None:
    made = load_recipe("bundled")
    assert (made.init, made.augment.diameter_of, made.training.label_policy) == (
        "sartorius", "width", "fill_holes",
    )  # fmt: skip
    assert made.teacher is not None
    assert made.teacher.model == made.init
    assert made.augment == load_recipe("open").augment


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'unetr'"):
        load_recipe("unter")


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'compact'"):
        make_method("compct", {}, ("a",))


def test_the_pixel_size_of_training_may_be_given() -> None:
    made = load_recipe("compact", ["pixel_size_um=[1.24, 1.24]"])
    assert made.pixel_size_um == (1.24, 1.24)
    with pytest.raises(SettingsError, match="pixel_size_um"):
        load_recipe("compact", ["pixel_size_um=[0, 1]"])


def test_the_cell_types_of_a_model_may_be_given() -> None:
    assert load_recipe("compact").cell_types == ()
    assert load_recipe("compact", ["cell_types=[cort]"]).cell_types == ("cort",)
    with pytest.raises(SettingsError, match="a cell type is named twice"):
        load_recipe("compact", ["cell_types=[cort, cort]"])
