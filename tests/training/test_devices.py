"""Two processes learn what one learns from the same batches, and resume after one was lost."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bigkingxxl.cluster.templates import read_template
from bigkingxxl.data.dataset import Dataset
from bigkingxxl.errors import InputError
from bigkingxxl.training.checkpoints import best_checkpoint, load_checkpoint
from bigkingxxl.training.crops import EpochSampler
from bigkingxxl.training.devices import Devices, was_restarted
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run_folder import last_checkpoint
from tests.cluster import slurm
from tests.refusals import refused

ROOT = Path(__file__).parents[2]
RECIPE = {
    "method": "compact", "settings": {"widths": (8, 8, 8, 8), "imagenet": False},
    "augment": {"size": 64},
    "training": {
        "epochs": 2, "warmup_steps": 2, "validation_images": 3, "workers": 0, "batch_size": 4,
        "crops_per_epoch": 10, "precision": "32", "checkpoint_minutes": 1e-9,
    },
    "prediction": {"scale": 1.0, "tile": 64, "overlap": 16},
}  # fmt: skip


def command(data: Dataset, folder: Path, *options: str, **training: Any) -> list[str]:
    """Run `bigkingxxl train` of the small recipe into a folder."""
    folder.mkdir(exist_ok=True)
    config = folder / "recipe.json"
    own = {**RECIPE["training"], **training}  # type: ignore[dict-item]
    config.write_text(json.dumps({**RECIPE, "training": own}))
    return [sys.executable, "-m", "bigkingxxl", "train", str(config), "--data", str(data.root),
            "--out", str(folder / "run"), "--device", "cpu", "--quiet", *options]  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("SLURM_", "TORCHELASTIC_"))}  # fmt: skip
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def ended(arguments: list[str]) -> str:
    done = subprocess.run(arguments, cwd=ROOT, env=environment(), capture_output=True, text=True,
                          timeout=900, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def losses(folder: Path) -> list[float]:
    """The mean losses of the best and the last epoch, which every step before them decided.

    Weights are no measure: Adam makes steps of full size of slopes that are rounding alone.
    """
    run = folder / "run"
    found = [load_checkpoint(each(run))["losses"] for each in (best_checkpoint, last_checkpoint)]
    return [each["total"] / each["count"] for each in found]


@pytest.fixture(scope="module")
def alone(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of one process."""
    folder = tmp_path_factory.mktemp("alone")
    ended(command(data, folder))
    return losses(folder)


@pytest.mark.slow
@pytest.mark.cluster
def test_two_processes_train_like_one(data: Dataset, tmp_path: Path, alone: list[float]) -> None:
    told = ended(command(data, tmp_path / "two", "--devices", "2"))
    assert told.count("epochs") == 1  # only one process prints
    assert losses(tmp_path / "two") == pytest.approx(alone, rel=1e-4)
    # Other batches give other losses: the comparison can fail.
    ended(command(data, tmp_path / "other", batch_size=2))
    assert losses(tmp_path / "other") != pytest.approx(alone, rel=1e-3)


@pytest.mark.slow
@pytest.mark.cluster
def test_two_processes_of_torchrun(data: Dataset, tmp_path: Path, alone: list[float]) -> None:
    _, *own = command(data, tmp_path / "two", "--devices", "2")
    start = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
             "--rdzv-endpoint", f"127.0.0.1:{slurm.free_port()}"]  # fmt: skip
    told = ended([sys.executable, *start, *own])
    assert told.count("epochs") == 1
    assert losses(tmp_path / "two") == pytest.approx(alone, rel=1e-4)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.skipif(not slurm.is_there(), reason="needs slurm-wlm and munge, and to be root")
def test_two_processes_of_slurm(data: Dataset, tmp_path: Path, alone: list[float]) -> None:
    """The template, on a node without GPUs."""
    arguments = command(data, tmp_path / "two")
    config, out = arguments[4], arguments[arguments.index("--out") + 1]
    script = tmp_path / "train.sh"
    script.write_text(re.sub(r"#SBATCH --gpus.*\n", "", read_template("slurm-train")))
    options = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--time=30", "--wait",
               f"--output={tmp_path}/log"]  # fmt: skip
    with slurm.running(tmp_path / "slurm") as extra:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = environment(PATH=path, SLURM_CONF=extra["SLURM_CONF"])
        done = subprocess.run(
            ["sbatch", *options, str(script), config, str(data.root), out, "--device", "cpu",
             "--quiet"], env=own, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    told = (tmp_path / "log").read_text()
    assert done.returncode == 0, done.stderr + told
    assert told.count("epochs") == 1
    assert losses(tmp_path / "two") == pytest.approx(alone, rel=1e-4)


@pytest.mark.slow
@pytest.mark.cluster
def test_a_lost_process_ends_the_training_and_it_resumes(data: Dataset, tmp_path: Path) -> None:
    more = {"epochs": 3, "crops_per_epoch": 40}
    ended(command(data, tmp_path / "whole", "--devices", "2", **more))
    lost = command(data, tmp_path / "lost", "--devices", "2", **more)
    training = subprocess.Popen(lost, cwd=ROOT, env=environment(), start_new_session=True,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    last = last_checkpoint(tmp_path / "lost" / "run")
    wait_for(last.is_file)
    os.kill(child_of(training.pid), getattr(signal, "SIGKILL", signal.SIGTERM))
    assert training.wait(timeout=300) != 0
    assert not (tmp_path / "lost" / "run" / "model.safetensors").exists()
    ended([*lost, "--resume"])
    assert losses(tmp_path / "lost") == pytest.approx(losses(tmp_path / "whole"), rel=1e-3)


@pytest.mark.slow
@pytest.mark.cluster
def test_gradients_of_a_shared_batch_are_those_of_the_whole(tmp_path: Path) -> None:
    both = [
        subprocess.Popen([sys.executable, "-m", "tests.training.two_devices", str(rank),
                          str(tmp_path)], cwd=ROOT, env=environment())
        for rank in range(2)
    ]  # fmt: skip
    assert [each.wait(timeout=900) for each in both] == [0, 0]
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found["norms"] > 0
        assert found["off"] < 1e-4
        assert found["memory"] < 1e-4
        assert found["off_unshared"] > 1e-2  # without sharing, the sums differ


def child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()
    return int(children[-1])


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- without processes ---------------------------------------------------------------------------


@pytest.mark.parametrize(("crops", "batch", "devices"), [(12, 4, 2), (10, 4, 2), (24, 6, 3)])
def test_batches_are_the_same_together(crops: int, batch: int, devices: int) -> None:
    whole = EpochSampler(crops, batch)
    parts = [EpochSampler(crops, batch, rank, devices) for rank in range(devices)]
    for each in (whole, *parts):
        each.set_epoch(3)
    assert {len(each) for each in parts} == {crops // devices}

    def batches(sampler: EpochSampler, size: int) -> list[list[int]]:
        items = list(sampler)
        return [items[first : first + size] for first in range(0, len(items), size)]

    own = [batches(each, batch // devices) for each in parts]
    together = [[*itertools.chain(*each)] for each in zip(*own, strict=True)]
    assert together == batches(whole, batch)
    # A run resumed after a batch gets the remaining ones.
    whole.begin_at(3, batch)
    for each in parts:
        each.begin_at(3, batch // devices)
    rest = sorted(index for each in parts for index in each)
    assert rest == sorted(whole)


def test_norms_of_one_process_are_the_usual_ones() -> None:
    from timm.layers import BatchNormAct2d

    from bigkingxxl.networks.shared_norms import share_norms

    for kind in (nn.BatchNorm2d, BatchNormAct2d):
        torch.manual_seed(0)
        usual: Any = kind(3)
        shared: Any = kind(3)
        with torch.no_grad():
            for each in (usual, shared):
                each.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        assert share_norms(nn.Sequential(shared)) == 1
        images = torch.randn(4, 3, 5, 6, requires_grad=True)
        for _ in range(2):
            first, second = usual(images), shared(images)
            assert torch.allclose(first, second, atol=1e-5)
            slopes = [torch.autograd.grad(each.pow(3).sum(), images)[0] for each in (first, second)]
            assert torch.allclose(slopes[0], slopes[1], atol=1e-3)
        assert torch.allclose(usual.running_mean, shared.running_mean, atol=1e-6)
        assert torch.allclose(usual.running_var, shared.running_var, atol=1e-5)
        assert torch.allclose(usual.eval()(images), shared.eval()(images), atol=1e-5)


def test_trainings_that_cannot_be_distributed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    recipe = Recipe.model_validate(RECIPE)
    Devices(2).check(recipe)
    for devices in (Devices(3), Devices(2, 2)):  # 4 crops per batch, but 10 per epoch
        with pytest.raises(InputError):
            devices.check(recipe)
    with pytest.raises(InputError):
        Devices(2).check(recipe.changed(adversarial={}))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with refused(InputError, key="--devices", found=3, expected=2):
        Devices(2).check(recipe)


def test_ranks_follow_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert Devices(2).rank == 0
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Devices(2).rank == 1
    assert Devices().rank == 0
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert Devices(2, 2).rank == 3
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "2")
    assert Devices(2, 2).rank == 2


def test_jobs_that_were_started_again_are_known() -> None:
    assert was_restarted({"SLURM_RESTART_COUNT": "1"})
    assert was_restarted({"TORCHELASTIC_RESTART_COUNT": "2"})
    assert not was_restarted({"TORCHELASTIC_RESTART_COUNT": "0"})
    assert not was_restarted({})
