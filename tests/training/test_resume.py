"""A run interrupted anywhere resumes to the same model as an uninterrupted run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.errors import InputError
from bigkingxxl.methods.base import Batch
from bigkingxxl.training.checkpoints import best_checkpoint, load_checkpoint
from bigkingxxl.training.module import TrainingModule
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import train
from bigkingxxl.training.run_folder import last_checkpoint
from tests.refusals import refused

EVERY_BATCH = 1e-9


class PowerCutError(Exception):
    pass


def small(recipe: Recipe, **changes: Any) -> Recipe:
    """Two epochs of three steps, with a checkpoint after each."""
    own = {"crops_per_epoch": 6, "batch_size": 2, "checkpoint_minutes": EVERY_BATCH, **changes}
    return recipe.changed(training=recipe.training.changed(**own).model_dump())


def states(run: Path) -> list[dict[str, Any]]:
    return [load_checkpoint(path(run)) for path in (last_checkpoint, best_checkpoint)]


def assert_alike(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first["global_step"] == second["global_step"]
    assert first["epoch"] == second["epoch"]
    assert first["score"] == pytest.approx(second["score"], abs=1e-6)
    assert first["callbacks"]["Checkpoints"] == pytest.approx(second["callbacks"]["Checkpoints"])
    assert first["losses"] == pytest.approx(second["losses"], rel=1e-5)
    for name in ("state_dict", "current_model_state"):
        for key, tensor in first[name].items():
            assert torch.allclose(tensor, second[name][key], atol=1e-6), (name, key)


@pytest.fixture(scope="module")
def whole(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(small(base()), data, run, device="cpu", quiet=True)
    return run


def base() -> Recipe:
    return Recipe.model_validate({
        "method": "compact", "settings": {"widths": (8, 8, 8, 8), "imagenet": False},
        "augment": {"size": 64},
        "training": {"epochs": 2, "warmup_steps": 2, "validation_images": 2, "workers": 0},
        "prediction": {"scale": 1.0, "tile": 64, "overlap": 16},
    })  # fmt: skip


@pytest.mark.parametrize(
    ("hook", "epoch", "number", "workers"),
    [
        ("training_step", 0, 0, 0), ("training_step", 0, 2, 0), ("training_step", 1, 1, 1),
        ("training_step", 1, 2, 0), ("validation_step", 0, 1, 1), ("validation_step", 1, 0, 0),
    ],
)  # fmt: skip
def test_a_run_interrupted_anywhere_reaches_the_same_state(
    whole: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    hook: str, epoch: int, number: int, workers: int,
) -> None:  # fmt: skip
    step = getattr(TrainingModule, hook)

    def power_cut(self: TrainingModule, batch: Batch, batch_idx: int) -> Any:
        if self.current_epoch == epoch and batch_idx == number:
            raise PowerCutError
        return step(self, batch, batch_idx)

    recipe = small(base(), workers=workers)
    monkeypatch.setattr(TrainingModule, hook, power_cut)
    with pytest.raises(PowerCutError):
        train(recipe, data, tmp_path / "run", device="cpu", quiet=True)
    monkeypatch.undo()
    train(recipe, data, tmp_path / "run", device="cpu", quiet=True, resume=True)
    for expected, found in zip(states(whole), states(tmp_path / "run"), strict=True):
        assert_alike(expected, found)


def test_resuming_with_other_settings_is_refused(
    whole: Path, data: Dataset, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    kept = last_checkpoint(run).read_bytes()
    with refused(InputError, file=run, key="training.learning_rate", found=5e-3):
        train(small(base(), learning_rate=5e-3), data, run, device="cpu", resume=True)
    with refused(InputError, file=run, key="images"):
        train(small(base()), data, run, device="cpu", resume=True, fold=1)
    longer = train(small(base(), epochs=3), data, run, device="cpu", quiet=True, resume=True)
    assert longer.epochs == 3
    assert last_checkpoint(run).read_bytes() != kept


class Code:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return print, ("it ran",)


@pytest.mark.parametrize("kind", ["code", "truncated", "empty", "other"])
def test_an_invalid_checkpoint_is_refused_and_not_executed(
    whole: Path, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    path = last_checkpoint(run)
    content = path.read_bytes()
    if kind == "code":
        torch.save({**load_checkpoint(path), "more": Code()}, path)
    elif kind == "other":
        torch.save({"state_dict": {}}, path)
    else:
        path.write_bytes(content[: len(content) // 2] if kind == "truncated" else b"")
    with pytest.raises(InputError, match=r"last\.ckpt"):
        train(small(base()), data, run, device="cpu", quiet=True, resume=True)
    assert "it ran" not in capsys.readouterr().out


def test_a_finished_run_is_unchanged(whole: Path, data: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    before = load_file(run / "model.safetensors")
    train(small(base()), data, run, device="cpu", quiet=True, resume=True)
    after = load_file(run / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
