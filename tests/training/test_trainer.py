"""The progress shown by a training: how far it is, and the time left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import train
from bigkingxxl.training.trainer import TimeLeftBar, warm_average


def test_a_log_gets_a_line_an_epoch_with_the_time_left(
    recipe: Recipe, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = recipe.training.changed(epochs=2, crops_per_epoch=4)
    train(recipe.changed(training=short.model_dump()), data, tmp_path / "run", device="cpu")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    assert all("on 2 images" in line for line in lines)
    assert lines[-1].endswith("at most 0.0 left")


def test_the_bar_shows_the_remaining_time_of_the_training() -> None:
    trainer: Any = SimpleNamespace(loggers=[], progress_bar_metrics={"val/map": 0.25})
    module: Any = SimpleNamespace(minutes_left=lambda: 12.34)
    shown = TimeLeftBar().get_metrics(trainer, module)
    assert shown == {"val/map": 0.25, "minutes_left": "12.3"}


def test_the_moving_average_forgets_its_start() -> None:
    average, value = warm_average(0.9), torch.tensor(0.0)
    for count in range(100):
        value = average(value, torch.tensor(1.0), count)
    assert value == pytest.approx(1.0, abs=1e-3)
    assert average(torch.tensor(0.0), torch.tensor(1.0), 1000) == pytest.approx(0.1)
    assert average(torch.tensor(3), torch.tensor(5), 1) == 5
