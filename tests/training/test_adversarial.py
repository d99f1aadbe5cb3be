"""Training with a critic: what it changes, what it leaves alone, and how it fails."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import ImageError, InputError, SettingsError
from bigkingxxl.methods.base import Batch
from bigkingxxl.model_files import read_card
from bigkingxxl.training.adversarial import AdversarialModule
from bigkingxxl.training.critic_trainer import CriticTrainer
from bigkingxxl.training.curves import read_curves
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import train
from tests.refusals import refused

Weights = dict[str, torch.Tensor]
BLUR = {"image_size": 64, "feature_size": 4, "hidden_size": 16, "mlp_dim": 32, "heads": 2,
        "pyramid": "", "normalisation": "batch"}  # fmt: skip


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Images without annotation, of several sizes and bit depths."""
    folder = tmp_path / "others"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index, (shape, bits) in enumerate([((96, 96), 8), ((80, 120), 16)]):
        pixels = rng.integers(0, 2**bits, shape).astype(f"uint{bits}")
        Image.fromarray(pixels).save(folder / f"other{index}.png")
    return folder


def changed(recipe: Recipe, others: Path | None = None, **adversarial: Any) -> Recipe:
    """The recipe with a critic, and with images without annotation if there are any."""
    where = {"semi_supervised": False} if others is None else {"unlabelled": (str(others),)}
    early = {"begin": 0.0, "full": 0.0, "critic_width": 2}
    values = recipe.model_dump(exclude_unset=True)
    return Recipe.model_validate({**values, "adversarial": {**early, **where, **adversarial}})


def trained(recipe: Recipe, data: Dataset, out: Path, **options: Any) -> Weights:
    weights: Weights = load_file(
        train(recipe, data, out, device="cpu", quiet=True, **options).model
    )
    return weights


def last_state(run: Path) -> Weights:
    """The network's final weights and statistics of training, not averaged."""
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=False)
    own = state.get("current_model_state", state["state_dict"])
    return {name: tensor for name, tensor in own.items() if name.startswith("network.")}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_weight_of_0_trains_identically_without_a_critic(
    recipe: Recipe, data: Dataset, others: Path, tmp_path: Path, optimizer: str
) -> None:
    own = recipe.training.changed(optimizer=optimizer)
    recipe = recipe.changed(training=own.model_dump(), settings=BLUR)
    alone = trained(recipe, data, tmp_path / "alone")
    watched = trained(changed(recipe, others, weight=0), data, tmp_path / "watched")
    assert alone.keys() == watched.keys()
    assert all(torch.equal(alone[name], watched[name]) for name in alone)
    before, after = last_state(tmp_path / "alone"), last_state(tmp_path / "watched")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any("running_mean" in name for name in before)


def test_a_tiny_weight_changes_next_to_nothing(
    recipe: Recipe, data: Dataset, others: Path, tmp_path: Path
) -> None:
    five = recipe.training.changed(epochs=1, crops_per_epoch=20, averaging=0, precision="32")
    recipe = recipe.changed(training=five.model_dump())
    alone = trained(recipe, data, tmp_path / "alone")
    pulled = trained(changed(recipe, others, weight=1e-12), data, tmp_path / "pulled")
    assert all(torch.allclose(alone[name], pulled[name], atol=1e-6, rtol=0) for name in alone)


def test_a_real_weight_changes_the_training(recipe: Recipe, data: Dataset, tmp_path: Path) -> None:
    alone = trained(recipe, data, tmp_path / "alone")
    pulled = trained(changed(recipe, weight=10), data, tmp_path / "pulled")
    assert not all(torch.allclose(alone[name], pulled[name], atol=1e-4) for name in alone)


def test_images_without_annotation_change_the_gradient_and_no_statistics(
    recipe: Recipe, data: Dataset, others: Path, tmp_path: Path
) -> None:
    one = recipe.training.changed(epochs=1, crops_per_epoch=4, averaging=0)
    recipe = recipe.changed(training=one.model_dump(), settings=BLUR)
    trained(changed(recipe, weight=10), data, tmp_path / "annotated")
    trained(changed(recipe, others, weight=10), data, tmp_path / "both")
    alone, both = last_state(tmp_path / "annotated"), last_state(tmp_path / "both")
    statistics = [name for name in alone if "running" in name or name.endswith("tracked")]
    weights = [name for name in alone if name.endswith("weight")]
    assert statistics
    assert all(torch.equal(alone[name], both[name]) for name in statistics)
    assert not all(torch.equal(alone[name], both[name]) for name in weights)


def test_the_run_is_logged_and_the_model_holds_no_critic(
    recipe: Recipe, data: Dataset, others: Path, tmp_path: Path
) -> None:
    weights = trained(changed(recipe, others, weight=0.1), data, tmp_path / "run")
    assert not any("critic" in name for name in weights)
    curves = read_curves(tmp_path / "run")
    assert {
        "train/loss", "train/gradient_norm", "critic/distance", "critic/gradient_penalty",
        "critic/loss_on_annotated", "critic/loss_on_unlabelled", "critic/weight", "val/map",
    } <= curves.keys()  # fmt: skip
    assert read_card(tmp_path / "run" / "model.safetensors").method == "unetr"


def test_the_weight_rises_on_a_line(
    recipe: Recipe, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten = recipe.training.changed(epochs=1, crops_per_epoch=40)
    rising = changed(recipe.changed(training=ten.model_dump()), weight=2.0, begin=0.2, full=0.7)
    seen: list[float] = []
    report = AdversarialModule.report

    def noting(self: AdversarialModule, *args: Any) -> None:
        seen.append(args[-1])
        report(self, *args)

    monkeypatch.setattr(AdversarialModule, "report", noting)
    trained(rising, data, tmp_path / "run")
    # Nothing before step 2 of 10, everything from step 7 on; reported after the step was taken.
    assert seen == pytest.approx([0, 0, 0, 0.4, 0.8, 1.2, 1.6, 2, 2, 2], abs=1e-6)


def test_a_broken_run_resumes_to_the_same_weights(
    recipe: Recipe, data: Dataset, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = changed(recipe, others, weight=1.0)
    trained(game, data, tmp_path / "whole")
    step = AdversarialModule.training_step

    def power_cut(self: AdversarialModule, batch: Batch, batch_idx: int) -> None:
        if self.current_epoch == 1 and batch_idx == 2:
            raise RuntimeError("power cut")
        step(self, batch, batch_idx)

    monkeypatch.setattr(AdversarialModule, "training_step", power_cut)
    with pytest.raises(RuntimeError, match="power cut"):
        trained(game, data, tmp_path / "broken")
    monkeypatch.undo()
    trained(game, data, tmp_path / "broken", resume=True)
    whole, resumed = last_state(tmp_path / "whole"), last_state(tmp_path / "broken")
    for name, tensor in whole.items():
        assert torch.allclose(tensor, resumed[name], atol=1e-6), name


@pytest.mark.parametrize(
    ("poison", "said"),
    [(float("nan"), "exploded"), (1e9, "exploded"), (0.0, "collapsed")],
)
def test_a_critic_that_fails_is_reported_and_trusted_less(
    recipe: Recipe, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, poison: float, said: str,
) -> None:  # fmt: skip
    learn = CriticTrainer.learn
    seen: list[AdversarialModule] = []

    def poisoned(self: CriticTrainer, *args: Any) -> Any:
        step = args[-1]
        if step in (3, 4) and (poison == 0 or len(hurt) == 0):
            hurt.append(step)
            with torch.no_grad():
                self.critic.score.weight.fill_(poison)
                assert self.critic.score.bias is not None
                self.critic.score.bias.zero_()
            self.optimizer.param_groups[0]["lr"] = 0.0
        return learn(self, *args)

    hurt: list[int] = []
    watch = AdversarialModule.is_sound

    def looking(self: AdversarialModule, *args: Any) -> bool:
        seen.append(self)
        return watch(self, *args)

    monkeypatch.setattr(CriticTrainer, "learn", poisoned)
    monkeypatch.setattr(AdversarialModule, "is_sound", looking)
    monkeypatch.setattr("bigkingxxl.training.critic_watch.PATIENCE", 2)
    with caplog.at_level(logging.WARNING):
        weights = trained(changed(recipe, weight=0.5), data, tmp_path / "run")
    assert said in caplog.text
    assert "adversarial weight of 0.25" in caplog.text
    assert seen[-1].trust < 1
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert all(each.isfinite().all() for each in seen[-1].critic.state_dict().values())


def test_a_validation_image_is_no_unlabelled_one(
    recipe: Recipe, data: Dataset, others: Path, tmp_path: Path
) -> None:
    judged = fold_ids(data, 0)[1][0]
    pixels = Image.open(data.image_path(judged))
    pixels.save(others / "renamed.png")
    with refused(InputError, file="renamed.png", found=judged):
        trained(changed(recipe, others), data, tmp_path / "run")


def test_images_with_other_channels_are_refused(
    recipe: Recipe, data: Dataset, others: Path, tmp_path: Path
) -> None:
    import tifffile

    tifffile.imwrite(others / "two.tif", np.zeros((2, 40, 40), np.uint8), photometric="minisblack",
                     planarconfig="separate")  # fmt: skip
    with refused(ImageError, file="two.tif", key="channels", found=2):
        trained(changed(recipe, others), data, tmp_path / "run")


def test_a_missing_unlabelled_folder_explains_what_to_do(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    game = changed(recipe, semi_supervised=True)
    with refused(InputError, "--unlabelled DIR", "--no-unlabelled", key="--unlabelled"):
        trained(game, data, tmp_path / "run")
    trained(game.with_unlabelled((), use=False), data, tmp_path / "without")


def test_only_recipes_with_a_critic_take_images_without_annotation(recipe: Recipe) -> None:
    with refused(SettingsError, key="--unlabelled"):
        recipe.with_unlabelled(["there"], use=True)
    game = changed(recipe).with_unlabelled(["there"], use=True)
    assert game.adversarial is not None
    assert game.adversarial.unlabelled == ("there",)
    with refused(SettingsError, key="--unlabelled", found="--no-unlabelled"):
        game.with_unlabelled(["there"], use=False)
