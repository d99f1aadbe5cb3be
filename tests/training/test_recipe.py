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


def test_the_earlier_name_of_a_setting_is_accepted_once(caplog: pytest.LogCaptureFixture) -> None:
    assert load_recipe("compact", ["training.pull=0.25"]).training.l2_sp == 0.25
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    with pytest.raises(SettingsError) as caught:
        load_recipe("compact", ["training.pull=0.25", "training.l2_sp=0.25"])
    assert caught.value.key == "training"


@pytest.mark.parametrize(
    ("text", "line", "key", "nearest"),
    [
        ("methd = 'unetr'", 1, "methd", "method"),
        ("method = 'unetr'\ntraining = {\n    'epoch': 3}", 3, "training.epoch", "epochs"),
        ("method = 'unetr'\ntraining = {'epochs': 0}", 2, "training.epochs", None),
        ("method = 'unetr'\naugment = {'size': 'big'}", 2, "augment.size", None),
        ("method = (", 1, None, None),
        ("seed = 3", None, "method", None),
    ],
)
def test_a_wrong_config_is_refused(
    tmp_path: Path, text: str, line: int | None, key: str | None, nearest: str | None
) -> None:
    config = tmp_path / "mine.py"
    config.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_recipe(str(config))
    error = caught.value
    assert (error.line, error.key, error.did_you_mean) == (line, key, nearest)
    assert str(config) in str(error)


def test_a_wrong_assignment_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    config = tmp_path / "mine.py"
    config.write_text("method = 'unetr'\ntraining = {'epochs': 3}")
    with pytest.raises(SettingsError) as caught:
        load_recipe(str(config), ["training.epochs=0"])
    assert (caught.value.key, caught.value.line) == ("training.epochs", None)
    assert str(config) not in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        load_recipe(str(config), seed=-1)
    assert (caught.value.key, str(caught.value.file)) == ("seed", "--seed")


def test_a_config_may_extend_a_recipe_and_need_code_only_where_allowed(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('extends = "compact"\n[training]\nepochs = 3\n')
    recipe, base = load_recipe(str(config)), load_recipe("compact")
    assert recipe.training == base.training.changed(epochs=3)
    assert recipe.changed(training=base.training) == base
    config = tmp_path / "mine.py"
    config.write_text('extends = "compact"\nseed = max(3, 4)')
    with pytest.raises(SettingsError) as caught:
        load_recipe(str(config))
    assert (caught.value.file, caught.value.line) == (config, 2)
    assert load_recipe(str(config), allow_code=True).seed == 4


def test_the_starting_model_may_be_given_separately() -> None:
    assert load_recipe("compact").init is None
    assert load_recipe("finetune").init == "bundled"
    assert load_recipe("finetune", init="mine.safetensors").init == "mine.safetensors"


def test_adapting_needs_a_model() -> None:
    with pytest.raises(SettingsError) as caught:
        load_recipe("compact", ["adapt=true"])
    assert "'init'" in str(caught.value)


def test_the_bundled_recipe_starts_from_the_shipped_model_and_brings_cells_to_one_width() -> None:
    made = load_recipe("bundled")
    assert (made.init, made.augment.diameter_of, made.training.label_policy) == (
        "sartorius", "width", "fill_holes",
    )  # fmt: skip
    assert made.teacher is not None
    assert made.teacher.model == made.init
    assert made.augment == load_recipe("open").augment


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(SettingsError) as caught:
        load_recipe("unter")
    assert caught.value.did_you_mean == "unetr"


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(SettingsError) as caught:
        make_method("compct", {}, ("a",))
    assert caught.value.did_you_mean == "compact"


def test_the_pixel_size_of_training_may_be_given() -> None:
    made = load_recipe("compact", ["pixel_size_um=[1.24, 1.24]"])
    assert made.pixel_size_um == (1.24, 1.24)
    with pytest.raises(SettingsError) as caught:
        load_recipe("compact", ["pixel_size_um=[0, 1]"])
    assert (caught.value.key, caught.value.found) == ("pixel_size_um.0", 0)


def test_the_cell_types_of_a_model_may_be_given() -> None:
    assert load_recipe("compact").cell_types == ()
    assert load_recipe("compact", ["cell_types=[cort]"]).cell_types == ("cort",)
    with pytest.raises(SettingsError) as caught:
        load_recipe("compact", ["cell_types=[cort, cort]"])
    assert caught.value.key == "cell_types"
