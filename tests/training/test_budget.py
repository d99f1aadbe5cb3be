"""The limits of a training hold for all of it, by wall time or by CPU time."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.inference import selection
from bigkingxxl.methods.base import Batch
from bigkingxxl.training import budget as budget_module
from bigkingxxl.training import module as module_module
from bigkingxxl.training.budget import Budget, cpu_seconds
from bigkingxxl.training.module import TrainingModule
from bigkingxxl.training.recipe import Recipe, TrainingSettings
from bigkingxxl.training.run import train
from tests.training.processes import burn

STEP, IMAGE = 5.0, 7.0  # seconds of the simulated clock


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("limit", ["max_minutes", "max_cpu_minutes"])
def test_a_limit_includes_every_validation_and_the_rate_follows(
    recipe: Recipe, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    clock, still, rates = Clock(), Clock(), []
    wall, cpu = (clock, still) if limit == "max_minutes" else (still, clock)
    monkeypatch.setattr(budget_module, "time", SimpleNamespace(monotonic=wall))
    monkeypatch.setattr(budget_module, "cpu_seconds", cpu)
    step, choose = TrainingModule.training_step, selection.select

    def slow_step(self: TrainingModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        clock.now += STEP
        rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return step(self, batch, batch_idx)

    def slow_select(*arguments: Any) -> Any:
        clock.now += IMAGE
        return choose(*arguments)

    monkeypatch.setattr(TrainingModule, "training_step", slow_step)
    monkeypatch.setattr(module_module, "select", slow_select)
    endless = recipe.training.changed(epochs=1000, **{limit: 2.0})  # epochs of four steps
    result = train(recipe.changed(training=endless.model_dump()), data, tmp_path / "run",
                   device="cpu", quiet=True)  # fmt: skip
    assert 100 <= clock.now <= 120 + STEP
    before = clock.now
    again = train(recipe.changed(training=endless.model_dump()), data, tmp_path / "run",
                  device="cpu", quiet=True, resume=True)  # fmt: skip
    assert clock.now == before
    assert again.epochs == result.epochs
    assert result.model.is_file()
    assert rates[-1] < 0.1 * max(rates)


def test_time_of_earlier_parts_counts() -> None:
    settings = TrainingSettings.model_validate({"max_minutes": 1.0})
    first = Budget(settings)
    first.load({"wall": 45.0, "cpu": 10.0, "reserved_wall": 0.0})
    assert first.used() == pytest.approx(0.75, abs=0.05)
    second = Budget(settings)
    second.load({**first.state(), "reserved_wall": 20.0})
    assert second.used() > 1
    assert Budget(TrainingSettings()).used() == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts running workers on Linux")
def test_workers_count_while_they_run_and_afterwards() -> None:
    context = get_context("spawn")
    here, there = context.Pipe()
    before = cpu_seconds()
    worker = context.Process(target=burn, args=(0.3, there))
    worker.start()
    here.recv()
    assert cpu_seconds() - before >= 0.29
    here.send(None)
    worker.join()
    assert cpu_seconds() - before >= 0.29
