"""Training on several devices and machines: the rank of this process, and common decisions.

Each process trains on its part of every batch. Losses refer to the whole batch (see
`bigkingxxl.distributed_sums`), batch norms share their statistics, and everything that depends on a
clock or a signal is agreed on before each step. The result is that of one device with the same
batch, except for the order of sums.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed

from bigkingxxl.errors import InputError
from bigkingxxl.training.recipe import Recipe

TORCHRUN, SLURM = "TORCHELASTIC_RUN_ID", "SLURM_PROCID"
RESTARTS = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")


@dataclass(frozen=True)
class Devices:
    """The number of devices of a training.

    Attributes:
        each: Devices per machine.
        nodes: Machines.
    """

    each: int = 1
    nodes: int = 1

    @property
    def count(self) -> int:
        """The total number of devices."""
        return self.each * self.nodes

    @property
    def rank(self) -> int:
        """The rank of this process, counted from 0."""
        if self.count == 1:
            return 0
        found = os.environ
        if TORCHRUN in found:
            return int(found["RANK"])
        if self._is_slurm():
            return int(found[SLURM])
        return int(found.get("NODE_RANK", "0")) * self.each + int(found.get("LOCAL_RANK", "0"))

    def check(self, recipe: Recipe) -> None:
        """Check that the training can be distributed.

        Raises:
            InputError: It has a critic, its batches cannot be divided, or the number of processes
                that were started differs.
        """
        if self.count == 1:
            return
        training = recipe.training
        if recipe.adversarial is not None:
            raise InputError(
                "training with a critic runs on one device: leave --devices and --nodes out",
                key="--devices",
            )
        for name in ("batch_size", "crops_per_epoch"):
            if getattr(training, name) % self.count:
                raise InputError(
                    f"training.{name} is {getattr(training, name)}, which {self.count} devices "
                    f"cannot share evenly: set it to a multiple (--set training.{name}=...)",
                    key=f"training.{name}",
                    found=getattr(training, name),
                    expected=self.count,
                )
        started = os.environ.get("WORLD_SIZE") if TORCHRUN in os.environ else None
        if started is None and self._is_slurm():
            started = os.environ.get("SLURM_NTASKS")
        if started is not None and int(started) != self.count:
            raise InputError(
                f"{started} processes were started, but --devices {self.each} --nodes "
                f"{self.nodes} are {self.count}: start as many",
                key="--devices",
                found=started,
                expected=self.count,
            )

    def trainer_options(self, device: str) -> dict[str, Any]:
        """Return the arguments of Lightning's trainer that concern devices."""
        if self.count == 1:
            # A single training is one process, whatever starts it (Slurm, ...).
            return {"devices": 1, "plugins": [LightningEnvironment()]}
        backend = "nccl" if device == "cuda" else "gloo"
        strategy = DDPStrategy(process_group_backend=backend, broadcast_buffers=False)
        return {
            "devices": self.each, "num_nodes": self.nodes, "strategy": strategy,
            "plugins": [self._environment()], "use_distributed_sampler": False,
        }  # fmt: skip

    def _environment(self) -> ClusterEnvironment:
        if TORCHRUN in os.environ:
            return TorchElasticEnvironment()
        if self._is_slurm():
            return SLURMEnvironment(auto_requeue=False)
        return LightningEnvironment()

    @staticmethod
    def _is_slurm() -> bool:
        """Return whether srun started the processes."""
        return SLURM in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1


ALONE = Devices()


def was_restarted(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether torchrun or SLURM restarted this training after an interruption."""
    return any(environment.get(name, "0") not in ("", "0") for name in RESTARTS)


def are_several() -> bool:
    """Return whether this process is connected to others of the same training."""
    return distributed.is_available() and distributed.is_initialized() \
        and distributed.get_world_size() > 1  # fmt: skip


def agreed(values: Sequence[float], device: torch.device) -> list[float]:
    """Return the maximum over all processes of each value; all processes must call it."""
    if not are_several():
        return list(values)
    told = torch.tensor(list(values), dtype=torch.float64 if device.type == "cpu" else
                        torch.float32, device=device)  # fmt: skip
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return [float(each) for each in told]


def own_part(items: Sequence[Any]) -> list[Any]:
    """Return this process's part of items that every process has."""
    if not are_several() or len(items) < distributed.get_world_size():
        # with so few items every process handles all, because each must take part
        return list(items)
    return list(items)[distributed.get_rank() :: distributed.get_world_size()]


def gathered(found: dict[str, Any]) -> dict[str, Any]:
    """Merge the results of all processes; all processes must call it."""
    if not are_several():
        return found
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, found)
    return {name: each for part in parts for name, each in part.items()}


def disconnect() -> None:
    """Disconnect from the other processes; a single one continues."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
