"""The progress shown by a training: how far it is, and the time left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.progress_reports import Label, Total
from bigkingxxl.training import trainer
from bigkingxxl.training.recipe import FinishSettings, Recipe
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


def test_a_log_gets_lines_within_an_epoch(
    recipe: Recipe,
    data: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer, "SECONDS_PER_LINE", 0)
    short = recipe.training.changed(epochs=1, crops_per_epoch=4, batch_size=2)
    train(recipe.changed(training=short.model_dump()), data, tmp_path / "run", device="cpu")
    lines = [line for line in capsys.readouterr().err.splitlines() if " batches," in line]
    assert [line.split(",")[0] for line in lines] == [
        f"epoch 1 of 1: {done} of 2 batches" for done in (1, 2)
    ]


def test_preparing_and_finishing_a_training_show_progress(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    seen: dict[str, int] = {}

    def track(items: Iterable[Any], total: Total, label: Label) -> Iterable[Any]:
        for item in items:
            seen[str(label)] = seen.get(str(label), 0) + 1
            yield item

    mixed = recipe.changed(
        method="compact", settings={"widths": (8, 8, 8, 8), "imagenet": False}, varied_images=1,
        training=recipe.training.changed(epochs=1, crops_per_epoch=4).model_dump(),
        finish=FinishSettings(calibrate_images=2).model_dump(),
    )  # fmt: skip
    train(mixed, data, tmp_path / "run", device="cpu", quiet=True, track=track)
    assert seen == {"simulating": 1, "calibrating": 2}


def test_the_bar_shows_the_remaining_time_of_the_training() -> None:
    bar: Any = SimpleNamespace(loggers=[], progress_bar_metrics={"val/map": 0.25})
    module: Any = SimpleNamespace(minutes_left=lambda: 12.34)
    shown = TimeLeftBar().get_metrics(bar, module)
    assert shown == {"val/map": 0.25, "minutes_left": "12.3"}


def test_the_moving_average_forgets_its_start() -> None:
    average, value = warm_average(0.9), torch.tensor(0.0)
    for count in range(100):
        value = average(value, torch.tensor(1.0), count)
    assert value == pytest.approx(1.0, abs=1e-3)
    assert average(torch.tensor(0.0), torch.tensor(1.0), 1000) == pytest.approx(0.1)
    assert average(torch.tensor(3), torch.tensor(5), 1) == 5
