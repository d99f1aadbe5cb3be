"""One training on several devices and machines: which process this is, and what all agree on.

Each process learns its part of every batch. Losses are of the whole batch (see
`bigkingxxl.distributed_sums`), batch norms share their statistics, and whatever depends on a
clock or a signal is agreed on before each step: the result is that of one device with the same
batch, but for the order of sums.
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
    """On how many devices a training runs.

    Attributes:
        each: devices of a machine; nodes: machines.
    """

    each: int = 1
    nodes: int = 1

    @property
    def count(self) -> int:
        """All of them."""
        return self.each * self.nodes

    @property
    def rank(self) -> int:
        """Which process of the training this is, counted from 0."""
        if self.count == 1:
            return 0
        found = os.environ
        if TORCHRUN in found:
            return int(found["RANK"])
        if self._is_slurm():
            return int(found[SLURM])
        return int(found.get("NODE_RANK", "0")) * self.each + int(found.get("LOCAL_RANK", "0"))

    def check(self, recipe: Recipe) -> None:
        """Refuse what cannot be shared out.

        Raises:
            InputError: a critic, batches that cannot be divided, or other numbers of processes
                than were started.
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
        """What Lightning's trainer takes: devices, machines, how they talk, who starts them."""
        if self.count == 1:
            # Whatever starts the process (Slurm, ...): one training is one process.
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
        """Whether srun started the processes, and not this program itself."""
        return SLURM in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1


ALONE = Devices()


def was_restarted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun or SLURM started this training again after it had been broken off."""
    return any(environment.get(name, "0") not in ("", "0") for name in RESTARTS)


def are_several() -> bool:
    """Whether this process trains together with others, which are connected."""
    return distributed.is_available() and distributed.is_initialized() \
        and distributed.get_world_size() > 1  # fmt: skip


def agreed(values: Sequence[float], device: torch.device) -> list[float]:
    """The largest of what all processes say, value by value; all of them have to ask."""
    if not are_several():
        return list(values)
    told = torch.tensor(list(values), dtype=torch.float64 if device.type == "cpu" else
                        torch.float32, device=device)  # fmt: skip
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return [float(each) for each in told]


def own_part(items: Sequence[Any]) -> list[Any]:
    """Of items that every process has the ones that are this one's to do."""
    if not are_several() or len(items) < distributed.get_world_size():
        return list(items)  # of so few every process does all: one without any would not take part
    return list(items)[distributed.get_rank() :: distributed.get_world_size()]


def gathered(found: dict[str, Any]) -> dict[str, Any]:
    """What all processes found; all of them have to ask."""
    if not are_several():
        return found
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, found)
    return {name: each for part in parts for name, each in part.items()}


def disconnect() -> None:
    """Leave the others: what follows is done by one process alone."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
