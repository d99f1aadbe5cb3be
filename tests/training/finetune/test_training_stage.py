"""Trainings checked on held-out images, with a tiny network and with stand-ins."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.errors import InputError, Interrupted
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import read_card, save_model
from bigkingxxl.training.finetune import training_stage
from bigkingxxl.training.finetune.run import finetune
from bigkingxxl.training.finetune.trainer import Trainer
from bigkingxxl.training.module import DivergedError
from bigkingxxl.training.recipe import Recipe, load_recipe
from tests.refusals import refused
from tests.small_models import SMALL_UNETR
from tests.training.finetune.data import bright_model, fields, save

NETWORK = {**SMALL_UNETR, "representation": "flows"}


class StandIn:
    """Trains nothing: each training leaves a model that detects bright, or dark, regions.

    Attributes:
        trained: The ids of each training, in order.
        minutes: The time limit of each training.
    """

    def __init__(self, gain: float) -> None:
        self.gain = gain
        self.trained: list[tuple[str, ...]] = []
        self.minutes: list[float] = []

    def __call__(self, recipe: Recipe, start: ModelCard, device: str) -> StandIn:
        return self

    def train(
        self, data: Dataset, ids: Sequence[str], folder: Path, minutes: float,
        watch: Callable[..., None],
    ) -> Path:  # fmt: skip
        self.trained.append(tuple(ids))
        self.minutes.append(minutes)
        folder.mkdir(parents=True, exist_ok=True)
        watch(0.5, 1.0)
        return bright_model(folder / "model.onnx", self.gain)

    def predictor(self, model: Path) -> tuple[NetworkPredictor, ModelCard]:
        return load_predictor(model, "cpu")


def run(start: Path, folder: Path, out: Path, *more: str, **options: Any) -> dict[str, Any]:
    recipe = load_recipe("finetune", ["method=unetr", *more], init=str(start))
    return finetune(recipe, open_dataset(folder), out, device="cpu", **options)


def test_a_training_that_helps_is_repeated_on_all_images_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = StandIn(gain=8.0)
    monkeypatch.setattr(training_stage, "Trainer", stand_in)
    monkeypatch.setattr(training_stage, "export_beside", lambda model, data: None)
    start = bright_model(tmp_path / "start.onnx", gain=-8.0)
    events: list[dict[str, Any]] = []
    result = run(start, save(tmp_path / "d", fields(5)), tmp_path / "run", report=events.append)
    assert result["kept"] == "trained"
    assert result["trained"]["gain"] > 0.3
    everything = {f"f{place}" for place in range(5)}
    first, other, last = (set(each) for each in stand_in.trained)
    assert first | other == everything
    assert first & other != everything
    assert last == everything
    # Half of the time is for the checks; what is left then is for the last training.
    assert stand_in.minutes[0] == stand_in.minutes[1]
    assert 0.4 * 9.5 < sum(stand_in.minutes[:2]) < 0.5 * 9.5
    assert stand_in.minutes[1] < stand_in.minutes[2] < 9.5
    # The results are a model, what was found, and the log.
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "model.safetensors", "run.json", "recipe.json", "progress.jsonl"
    }  # fmt: skip
    stages = [each["stage"] for each in events if each["event"] == "progress"]
    assert list(dict.fromkeys(stages)) == ["settings", "check", "train"]
    overall = [each["overall"] for each in events if each["event"] == "progress"]
    assert overall == sorted(overall)


def test_a_training_that_does_not_help_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = StandIn(gain=-8.0)
    monkeypatch.setattr(training_stage, "Trainer", stand_in)
    start = bright_model(tmp_path / "start.onnx")
    result = run(start, save(tmp_path / "d", fields(5, flecks=0)), tmp_path / "run")
    assert result["kept"] == "start"
    assert result["trained"]["gain"] < 0
    assert len(stand_in.trained) == 2
    assert (tmp_path / "run" / "model.onnx").read_bytes() == start.read_bytes()
    assert not (tmp_path / "run" / "checks").exists()


def test_a_training_that_fails_leaves_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Diverging(StandIn):
        def train(self, *arguments: Any) -> Path:
            raise DivergedError("the loss became nan")

    monkeypatch.setattr(training_stage, "Trainer", Diverging(8.0))
    start = bright_model(tmp_path / "start.onnx")
    result = run(start, save(tmp_path / "d", fields(4)), tmp_path / "run")
    assert (result["kept"], result["trained"]) == ("settings", None)
    assert any("the loss became nan" in note for note in result["notes"])
    assert (tmp_path / "run" / "model.onnx").is_file()


def test_a_final_training_that_is_worse_than_the_checks_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spoiling(StandIn):
        def train(self, *arguments: Any) -> Path:
            self.gain = 8.0 if len(self.trained) < 2 else 0.0
            return super().train(*arguments)

    monkeypatch.setattr(training_stage, "Trainer", Spoiling(8.0))
    # The starting model detects dark cells, which one image of ten has.
    start = bright_model(tmp_path / "start.onnx", gain=-8.0)
    given = fields(10, flecks=0)
    given["f9"] = (240 - given["f9"][0], given["f9"][1])
    result = run(start, save(tmp_path / "d", given), tmp_path / "run")
    assert result["trained"]["map"] > 0.8
    assert result["start"]["map"] == pytest.approx(0.1)
    assert result["kept"] == "start"
    assert any("is discarded" in note for note in result["notes"])
    assert (tmp_path / "run" / "model.onnx").is_file()
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_without_held_out_images_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = StandIn(gain=8.0)
    monkeypatch.setattr(training_stage, "Trainer", stand_in)
    start = bright_model(tmp_path / "start.onnx", gain=-8.0)
    result = run(start, save(tmp_path / "d", fields(1, cells=3)), tmp_path / "run")
    assert (result["checked"], result["kept"], stand_in.trained) == (False, "start", [])


def test_an_interrupted_run_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(StandIn):
        def train(self, *arguments: Any) -> Path:
            if len(self.trained) == 1:
                raise KeyboardInterrupt
            return super().train(*arguments)

    start = bright_model(tmp_path / "start.onnx", gain=-8.0)
    folder = save(tmp_path / "d", fields(4))
    monkeypatch.setattr(training_stage, "Trainer", Broken(8.0))
    monkeypatch.setattr(training_stage, "export_beside", lambda model, data: None)
    with pytest.raises(Interrupted, match="--resume"):
        run(start, folder, tmp_path / "run")
    assert (tmp_path / "run" / "model.onnx").is_file()
    monkeypatch.setattr(training_stage, "Trainer", StandIn(8.0))
    with refused(InputError, file="run", key="training.learning_rate"):
        run(start, folder, tmp_path / "run", "training.learning_rate=0.5", resume=True)
    other = bright_model(tmp_path / "other" / "start.onnx", gain=-7.0)
    other.replace(start)
    with refused(InputError, file="run"):
        run(start, folder, tmp_path / "run", resume=True)
    bright_model(start, gain=-8.0)
    assert run(start, folder, tmp_path / "run", resume=True)["kept"] == "trained"


# ---- with a network that learns ------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An untrained network for cells of 12 pixels of one of two types."""
    import torch

    from bigkingxxl.methods.registry import make_method

    torch.manual_seed(0)
    method = make_method("unetr", NETWORK, ("a", "b"))
    card = ModelCard(
        method="unetr", settings=method.settings.model_dump(), type_names=("a", "b"),
        median_diameter=12.0, prediction=PredictionSettings(scale=1.0, tile=64, overlap=16),
    )  # fmt: skip
    path = tmp_path / "small.safetensors"
    save_model(path, card, method.build().state_dict())
    return path


def few_steps(start: Path) -> Recipe:
    """The recipe, cut down to a few steps."""
    sets = ["method=unetr", "augment.size=32", "training.crops_per_epoch=8",
            "training.batch_size=4", "training.workers=0", "varied_images=0"]  # fmt: skip
    return load_recipe("finetune", sets, init=str(start))


def test_real_trainings_without_success_leave_the_start(small: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "d", fields(3))
    result = finetune(few_steps(small), open_dataset(folder), tmp_path / "run", device="cpu")
    assert result["kept"] in ("start", "settings")
    assert result["trained"] is not None
    assert read_card(tmp_path / "run" / "model.safetensors").method == "unetr"
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    assert stored["finetune"]["cpu_minutes"] < 2


def test_a_training_uses_its_images_only_and_keeps_the_calibration(
    small: Path, tmp_path: Path
) -> None:
    data = open_dataset(save(tmp_path / "d", fields(3)))
    own = data.ids[:2]
    trainer = Trainer(few_steps(small), read_card(small), "cpu")
    told: list[float] = []
    made = trainer.train(data, own, tmp_path / "t", 1.0, lambda done, left: told.append(done))
    card = read_card(made)
    assert card.trained_on == own
    assert card.type_names == ("cell",)
    assert card.provenance["init"]["name"] == str(small)
    assert told[-1] == 1
    assert told == sorted(told)
    before = made.stat().st_mtime_ns
    shutil.rmtree(tmp_path / "t" / "checkpoints")
    assert trainer.train(data, own, tmp_path / "t", 1.0, lambda done, left: None) == made
    assert made.stat().st_mtime_ns >= before
