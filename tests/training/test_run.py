from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import InputError
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.methods.base import Batch
from bigkingxxl.model_files import model_hash, read_card
from bigkingxxl.training.curves import plot_curves, read_curves
from bigkingxxl.training.even_sampling import evenly_by_type
from bigkingxxl.training.module import DivergedError, TrainingModule
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import check_folder, train
from bigkingxxl.training.run_folder import locked
from tests.refusals import refused


def trained(recipe: Recipe, data: Dataset, out: Path, **options: Any) -> Path:
    return train(recipe, data, out, device="cpu", quiet=True, **options).model


def test_a_run_leaves_a_model_logs_and_its_record(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    path = trained(recipe, data, tmp_path / "run")
    training, validation = fold_ids(data, 0)
    card = read_card(path)
    assert card.trained_on == training
    assert set(card.selected_on) <= set(validation)
    assert len(card.selected_on) == 2
    assert not set(card.trained_on) & set(card.selected_on)
    areas = np.concatenate([data.instances(name).areas() for name in training])
    assert card.median_diameter == pytest.approx(2 * np.sqrt(np.median(areas) / np.pi))
    curves = read_curves(tmp_path / "run")
    assert {"train/loss", "train/dice", "val/map", "val/map_cort"} <= curves.keys()
    assert len(curves["val/map"]) == 2
    assert plot_curves(tmp_path / "run").startswith(b"\x89PNG")
    assert (tmp_path / "run" / "recipe.json").is_file()
    predictor, _ = load_predictor(path, "cpu")
    assert predictor.candidates(data.source(validation[0])).size == (96, 96)


def test_a_broken_run_resumes_to_the_same_weights(
    recipe: Recipe, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(recipe, data, tmp_path / "whole")
    step = TrainingModule.training_step

    def power_cut(self: TrainingModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1 and batch_idx == 2:
            raise RuntimeError("power cut")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", power_cut)
    with pytest.raises(RuntimeError, match="power cut"):
        trained(recipe, data, tmp_path / "broken")
    monkeypatch.undo()
    resumed = trained(recipe, data, tmp_path / "broken", resume=True)
    # The final state, not only the best checkpoint, must agree.
    states = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=False)
        for run in (whole.parent, resumed.parent)
    ]
    assert states[0]["global_step"] == states[1]["global_step"] == 8
    for name, tensor in states[0]["current_model_state"].items():
        assert torch.allclose(tensor, states[1]["current_model_state"][name], atol=1e-6), name


def test_the_loss_falls(recipe: Recipe, data: Dataset, tmp_path: Path) -> None:
    longer = recipe.training.changed(crops_per_epoch=96, learning_rate=3e-3)
    trained(recipe.changed(training=longer.model_dump()), data, tmp_path / "run")
    losses = [value for _, value in read_curves(tmp_path / "run")["train/loss"]]
    assert losses[-1] < 0.9 * losses[0]


def test_a_run_folder_in_use_is_refused(recipe: Recipe, data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError) as caught:
        trained(recipe, data, tmp_path)
    assert (caught.value.file, caught.value.key) == (tmp_path, "--out")


def test_nothing_to_resume_raises_an_error(recipe: Recipe, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        trained(recipe, data, tmp_path, resume=True)
    assert caught.value.key == "--resume"


@pytest.mark.parametrize("left", ["recipe.json", ".training.lock"])
def test_a_run_without_a_checkpoint_begins_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, left: str
) -> None:
    """A killed run leaves its settings or, if it was killed before them, its lock."""
    (tmp_path / left).write_text('{"pid": 1}')
    with locked(tmp_path):
        check_folder(tmp_path, resume=True)
    assert str(tmp_path) in caplog.text


def test_a_model_without_a_checkpoint_is_not_trained_again(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").touch()
    (tmp_path / "model.safetensors").touch()
    with refused(InputError, file=tmp_path, key="--resume"):
        check_folder(tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_and_names_the_batch(
    recipe: Recipe, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def poisoned(self: TrainingModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1:
            batch.images[:] = float("nan")
        return step(self, batch, batch_idx)

    step = TrainingModule.training_step
    monkeypatch.setattr(TrainingModule, "training_step", poisoned)
    with refused(DivergedError, key="loss", found=(1, 0)):
        trained(recipe, data, tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_training_starts_from_another_models_weights(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    first = trained(recipe, data, tmp_path / "first")
    still = recipe.training.changed(learning_rate=1e-9, averaging=0, epochs=1)
    again = recipe.changed(training=still.model_dump(), init=str(first), seed=1)
    second = trained(again, data, tmp_path / "second", fold=1)
    before, after = load_file(first), load_file(second)
    moved = [n for n in before if "running" not in n and not n.endswith("tracked")]
    assert all(torch.allclose(before[n], after[n], atol=1e-5) for n in moved)
    old, new = read_card(first), read_card(second)
    # what the first one was trained on cannot test the second
    assert set(new.trained_on) == set(data.ids)
    assert set(new.selected_on) >= set(old.selected_on)
    assert new.provenance["init"]["hash"] == model_hash(first)


def test_frozen_batch_norms_keep_their_statistics(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    first = trained(recipe, data, tmp_path / "first")
    frozen = recipe.training.changed(freeze_statistics=True, epochs=1)
    again = recipe.changed(training=frozen.model_dump(), init=str(first))
    second = trained(again, data, tmp_path / "second")
    before, after = load_file(first), load_file(second)
    statistics = [name for name in before if "running" in name]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    weights = [name for name in before if name.endswith("weight")]
    assert not all(torch.equal(before[name], after[name]) for name in weights)


@pytest.mark.parametrize(
    ("options", "fold", "chosen"),
    [({}, 0, True), ({"fold": -1}, -1, False), ({"fold": 1}, 1, True)],
)
def test_a_fold_chooses_the_checkpoint_or_every_image_trains(
    recipe: Recipe, data: Dataset, tmp_path: Path, options: dict[str, Any], fold: int, chosen: bool
) -> None:
    short = recipe.training.changed(epochs=1, crops_per_epoch=4)
    result = train(recipe.changed(training=short.model_dump()), data, tmp_path / "run",
                   device="cpu", quiet=True, **options)  # fmt: skip
    card = read_card(result.model)
    assert result.chosen == chosen
    assert bool(card.selected_on) == chosen
    assert (set(card.trained_on) == set(data.ids)) == (not chosen)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["fold"] == fold
    assert bool(record["validated_on"]) == chosen
    name = "validation" if chosen else "training"
    assert card.scores[f"{name}_map_in_sample"] == result.score
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").exists() == chosen


def test_time_that_is_up_still_leaves_a_model(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    endless = recipe.training.changed(epochs=1000, crops_per_epoch=400, max_minutes=0.02)
    result = train(recipe.changed(training=endless.model_dump()), data, tmp_path / "run",
                   fold=-1, device="cpu", quiet=True)  # fmt: skip
    assert result.model.is_file()
    assert result.epochs <= 1
    assert result.minutes < 1


def test_a_run_leaves_nothing_outside_its_folder(
    recipe: Recipe, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    short = recipe.training.changed(epochs=1, crops_per_epoch=4)
    trained(recipe.changed(training=short.model_dump()), data, tmp_path / "run")
    assert list(elsewhere.iterdir()) == []
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "checkpoints", "lightning_logs", "model.safetensors", "recipe.json", "run.json",
    }  # fmt: skip


def test_validation_images_are_spread_over_the_types() -> None:
    class Typed:
        def cell_type(self, image_id: str) -> str:
            return image_id[0]

    ids = ["a1", "a2", "a3", "a4", "b1", "c1"]
    assert evenly_by_type(ids, Typed(), 4) == ("a1", "b1", "c1", "a2")  # type: ignore[arg-type]
    assert set(evenly_by_type(ids, Typed(), 99)) == set(ids)  # type: ignore[arg-type]


def test_simulated_cells_of_any_kind_are_mixed_in(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    settings = {"widths": (8, 8, 8, 8), "imagenet": False}
    mixed = recipe.changed(
        method="compact", settings=settings, varied_images=1,
        training=recipe.training.changed(epochs=1).model_dump(),
    )  # fmt: skip
    card = read_card(trained(mixed, data, tmp_path / "run"))
    assert len(list((tmp_path / "run" / "varied" / "train").glob("*.png"))) == 1
    assert card.provenance["varied_images"] == 1
    # They are not images of the data set: nobody can score this model on them by mistake.
    assert set(card.trained_on) <= set(data.ids)
    assert card.type_names == data.type_names


def test_cells_without_a_type_need_a_representation_that_knows_them(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="varied_images is 2"):
        trained(recipe.changed(varied_images=2), data, tmp_path / "run")
