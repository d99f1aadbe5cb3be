"""Trainings that are killed, run out of disk space, or share a folder."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.files import temporary_beside
from bigkingxxl.training.checkpoints import load_checkpoint
from bigkingxxl.training.run_folder import last_checkpoint
from tests.training.processes import children, is_running, running, wait_until

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc to see which processes live"
)

ADVICE = "interrupted: run again with --resume to continue"
CONFIG = """
method = "unetr"
settings = {"image_size": 64, "feature_size": 4, "hidden_size": 16, "mlp_dim": 32, "heads": 2,
            "pyramid": ""}
augment = {"size": 64}
training = {"epochs": 1, "crops_per_epoch": 24, "batch_size": 1, "warmup_steps": 2,
            "validation_images": 1, "workers": 1, "checkpoint_minutes": 1e-9}
prediction = {"scale": 1.0, "tile": 64, "overlap": 16}
"""
SLOW = 0.2


@pytest.fixture
def arguments(data: Dataset, tmp_path: Path) -> list[str]:
    """A training whose epoch lasts longer than it takes to kill it."""
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG)
    return ["train", str(config), "--data", str(data.root), "--device", "cpu"]


def steps(run: Path) -> int:
    """The number of steps in the last checkpoint."""
    path = last_checkpoint(run)
    return int(load_checkpoint(path)["global_step"]) if path.is_file() else 0


def test_a_run_killed_again_and_again_makes_the_model_of_the_unbroken_run(
    arguments: list[str], tmp_path: Path
) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    begin = [*arguments, "--out", str(run)]
    resume = [*begin, "--resume"]
    with running([*arguments, "--out", str(tmp_path / "whole")], tmp_path / "whole.log") as whole:
        # A signal to the whole group, as clusters and `timeout` send it.
        with running(begin, log, step_seconds=SLOW) as training:
            wait_until(lambda: steps(run) >= 2)
            second = tmp_path / "second.log"
            with running(resume, second) as refused:
                refused.join()
            assert refused.exitcode == 2
            assert f"process {training.pid}" in second.read_text()
            assert training.pid is not None
            os.killpg(training.pid, signal.SIGTERM)
            training.join()
        assert training.exitcode == 143
        assert log.read_text().splitlines()[-1] == ADVICE
        assert not (run / "model.safetensors").exists()
        assert not list(run.glob(".*"))
        done = steps(run)

        # A sudden death: workers die too; the lock and temporary files are no obstacle.
        with running(resume, log, step_seconds=SLOW) as training:
            wait_until(lambda: steps(run) > done)
            workers = children(training.pid)
            assert workers
            training.kill()
            training.join()
            wait_until(lambda: not any(map(is_running, workers)))
        assert (run / ".training.lock").exists()
        ours = temporary_beside(last_checkpoint(run))
        leftover = ours.with_name(ours.name.replace(str(os.getpid()), str(training.pid)))
        leftover.touch()
        done = steps(run)

        with running(resume, log, step_seconds=SLOW) as training:
            wait_until(lambda: steps(run) > done)
            assert not leftover.exists()
            os.kill(training.pid or 0, signal.SIGINT)
            training.join()
        assert training.exitcode == 130
        assert log.read_text().splitlines()[-1] == ADVICE
        done = steps(run)

        # A full disk ends it with a sentence, and nothing is lost.
        room = last_checkpoint(run).stat().st_size // 2
        with running([*resume, "--quiet"], log, largest_file=room) as training:
            training.join()
        assert training.exitcode == 2
        assert len(log.read_text().splitlines()) == 1
        assert str(last_checkpoint(run)) in log.read_text()
        assert steps(run) == done

        with running(resume, log) as training:
            training.join()
        assert training.exitcode == 0, log.read_text()
        whole.join()
        assert whole.exitcode == 0, (tmp_path / "whole.log").read_text()
    expected, found = (load_file(each / "model.safetensors") for each in (tmp_path / "whole", run))
    for name, tensor in expected.items():
        assert torch.allclose(tensor, found[name], atol=1e-6), name


def test_a_lock_of_another_machine_is_respected(arguments: list[str], tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    run.mkdir()
    held = {"pid": 1, "host": "another", "since": "yesterday"}
    (run / ".training.lock").write_text(json.dumps(held))
    with running([*arguments, "--out", str(run)], log) as training:
        training.join()
    assert training.exitcode == 2
    assert "another" in log.read_text()
    assert json.loads((run / ".training.lock").read_text()) == held
