"""Training Cellpose here: sizes by type, determinism, resuming, errors, the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.synthesize import Recipe as SyntheticData
from bigkingxxl.data.synthesize import synthesize
from bigkingxxl.errors import InputError, SettingsError
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.methods.base import Batch
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import load_model, model_hash, read_card, save_model
from bigkingxxl.networks.cellpose import library_version
from bigkingxxl.operating_points import ZOOM
from bigkingxxl.training.module import TrainingModule
from bigkingxxl.training.recipe import Recipe, load_recipe
from bigkingxxl.training.run import train
from tests.refusals import refused, refused_by

pytestmark = pytest.mark.skipif(
    not (library_version() or "").startswith("3."), reason="cellpose 3.1 is not installed"
)
SHORT = (
    "augment.size=48", "augment.diameter=12", "training.epochs=2", "training.crops_per_epoch=6",
    "training.batch_size=2", "training.validation_images=1", "training.workers=0",
    "training.warmup_steps=1", "training.averaging=0", "prediction.tile=64", "prediction.overlap=8",
)  # fmt: skip


@pytest.fixture(scope="module")
def two_types(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Ten small images of two types whose cells differ in size."""
    folder: Path = tmp_path_factory.mktemp("two_types")
    synthesize(folder, SyntheticData(10, 0, ("cort", "astro"), (96, 96)), workers=1)
    return open_dataset(folder)


def recipe_of(*changes: str, name: str = "cellpose_scratch") -> Recipe:
    return load_recipe(name, (*SHORT, *changes))


def trained(recipe: Recipe, data: Dataset, out: Path, **options: Any) -> Path:
    return train(recipe, data, out, fold=0, device="cpu", quiet=True, **options).model


@pytest.fixture(scope="module")
def model(two_types: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(recipe_of(), two_types, tmp_path_factory.mktemp("run") / "run")


def test_a_run_is_the_same_again_to_the_bit(
    model: Path, two_types: Dataset, tmp_path: Path
) -> None:
    again = trained(recipe_of(), two_types, tmp_path / "again")
    first, second = load_file(model), load_file(again)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    # Only the date and the minutes differ between the files.
    assert model_hash(model) != ""


def test_a_broken_run_resumes_to_the_same_weights(
    two_types: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(recipe_of(), two_types, tmp_path / "whole")
    step = TrainingModule.training_step

    def power_cut(self: TrainingModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1 and batch_idx == 1:
            raise RuntimeError("power cut")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", power_cut)
    with pytest.raises(RuntimeError, match="power cut"):
        trained(recipe_of(), two_types, tmp_path / "broken")
    monkeypatch.undo()
    trained(recipe_of(), two_types, tmp_path / "broken", resume=True)
    states = [
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=False)
        for run in ("whole", "broken")
    ]
    for name, tensor in states[0]["state_dict"].items():
        assert torch.allclose(tensor, states[1]["state_dict"][name], atol=1e-6), name


def test_prediction_scales_each_type_as_in_training(model: Path, two_types: Dataset) -> None:
    card = read_card(model)
    assert card.median_diameter is not None
    assert card.prediction.scale * card.median_diameter == pytest.approx(12)
    zooms = {name: point.decode[ZOOM] for name, point in card.operating_points.by_type.items()}
    assert zooms
    for name, zoom in zooms.items():
        own = [
            np.median(disc_diameter(two_types.instances(each).areas()))
            for each in card.trained_on
            if two_types.cell_type(each) == name
        ]
        seen = card.prediction.scale * zoom * float(np.median(own))
        # Training fills holes, so that its cells are a little larger.
        assert seen == pytest.approx(12, rel=0.05)


def test_it_starts_from_a_file_of_cellposes(
    model: Path, two_types: Dataset, tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        app, ["export", str(model), "--to", "cellpose", "--out", str(tmp_path / "start")]
    )
    assert result.exit_code == 0, result.stderr
    assert "12.0 in the network" in result.stdout
    recipe = recipe_of(
        f"settings.start={tmp_path / 'start'}", "training.learning_rate=1e-12",
        "training.weight_decay=0", "training.epochs=1", name="cellpose",
    )  # fmt: skip
    again = load_file(trained(recipe, two_types, tmp_path / "run"))
    for name, tensor in load_file(model).items():
        if name.startswith("library.") and name.endswith("weight"):
            torch.testing.assert_close(again[name], tensor, rtol=0, atol=1e-6)


def test_a_model_of_one_type_learns_others(model: Path, two_types: Dataset, tmp_path: Path) -> None:
    """The part that distinguishes types is ours: it is trained even if the model had none."""
    network = load_model(model).network
    card = ModelCard(method="cellpose", settings={}, type_names=("cell",))
    weights = {name: each for name, each in network.state_dict().items() if "types" not in name}
    save_model(tmp_path / "one.safetensors", card, weights)
    recipe = recipe_of("training.epochs=1").changed(init=str(tmp_path / "one.safetensors"))
    found = load_file(trained(recipe, two_types, tmp_path / "run"))
    assert found["types.weight"].shape[0] == len(two_types.type_names)


def test_tuning_tries_other_sizes_of_cells(model: Path, two_types: Dataset, tmp_path: Path) -> None:
    arguments = ["tune", str(model), "--data", str(two_types.root), "--fold", "0", "--quiet",
                 "--maps", str(tmp_path / "maps"), "--out", str(tmp_path / "tuned.safetensors"),
                 "--force"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    kept = [path.name for path in (tmp_path / "maps").rglob("*.npy")]
    assert any("-zoom" in name for name in kept)
    predictor, _ = load_predictor(tmp_path / "tuned.safetensors", "cpu")
    source = two_types.source(two_types.ids[0])
    assert predictor.candidates(source).size == (96, 96)


def test_a_diameter_of_zero_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"augment\.diameter"):
        recipe_of("augment.diameter=0")


def test_images_without_cells_are_refused(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            Image.new("L", (64, 64)).save(tmp_path / folder / f"{name}.png")
    with refused(InputError, file=tmp_path):
        train(recipe_of(), open_dataset(tmp_path), tmp_path / "run", fold=-1, device="cpu")


def test_the_command_line_refuses_other_methods(model: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["export", str(model), "--to", "fiji", "--out", str(tmp_path / "x")]
    )
    refused_by(result, key="--to", found="fiji", expected=("onnx", "cellpose"))


def test_a_file_is_imported_by_the_command_line(model: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    start, out = str(tmp_path / "start"), str(tmp_path / "back.safetensors")
    assert (
        runner.invoke(app, ["export", str(model), "--to", "cellpose", "--out", start]).exit_code
        == 0
    )
    result = runner.invoke(app, ["import-weights", start, "--from", "cellpose", "--out", out])
    assert result.exit_code == 0, result.stderr
    assert read_card(Path(out)).prediction.scale == pytest.approx(read_card(model).prediction.scale)
    result = runner.invoke(app, ["import-weights", start, "--from", "torchvision", "--out", out])
    refused_by(result, key="--config")
