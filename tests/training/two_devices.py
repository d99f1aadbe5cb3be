"""The gradients of a batch on one device, and on two processes that share it.

    python -m tests.training.two_devices RANK FOLDER

This writes FOLDER/RANK.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from bigkingxxl.methods.base import Batch
from bigkingxxl.methods.registry import make_method
from bigkingxxl.networks.shared_norms import share_norms


def batch() -> Batch:
    """Four crops with targets of flows; half of one crop is not annotated."""
    torch.manual_seed(1)
    images = torch.randn(4, 1, 64, 64)
    targets = torch.zeros(4, 3, 64, 64)
    # of different sizes, so that the halves of the batch have different weights
    for index in range(4):
        targets[index, 0, : 8 + 12 * index, :40] = 1
        targets[index, 1, : 8 + 12 * index, :40] = 1
    targets[3, :, :, 32:] = float("nan")
    return Batch(images, targets)


def gradients(network: nn.Module, method: Any, own: Batch) -> dict[str, Tensor]:
    """The gradients of all parameters, and the statistics of the norms."""
    network.zero_grad()
    network.train()
    losses = method.loss(network, own)
    losses["loss"].backward()
    found = {name: each.grad.clone() for name, each in network.named_parameters()
             if each.grad is not None}  # fmt: skip
    return found | {"loss": losses["loss"].detach()}


def main() -> None:
    """Compare one device with two."""
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    method = make_method("compact", {"widths": (8, 8, 8, 8), "imagenet": False}, ("cort",))
    torch.manual_seed(0)
    network = method.build()
    method.initialise(network)
    start = {name: each.clone() for name, each in network.state_dict().items()}
    whole = batch()
    alone = gradients(network, method, whole)
    memory = {
        name: each.clone() for name, each in network.state_dict().items() if "running" in name
    }
    network.load_state_dict(start)
    unshared = gradients(network, method, half(whole, rank))
    network.load_state_dict(start)
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    norms = share_norms(network)
    together = gradients(network, method, half(whole, rank))
    for each in (*together.values(), *unshared.values()):  # as Lightning's DDP does
        distributed.all_reduce(each)
        each.div_(2)
    state = network.state_dict()
    (folder / f"{rank}.json").write_text(json.dumps({
        "norms": norms, "off": worst(alone, together), "off_unshared": worst(alone, unshared),
        "memory": max(float((state[name] - each).abs().max()) for name, each in memory.items()),
    }))  # fmt: skip


def half(whole: Batch, rank: int) -> Batch:
    """The part of the batch for one process."""
    own = slice(2 * rank, 2 * rank + 2)
    return Batch(whole.images[own], whole.targets[own])


def worst(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference relative to the largest value."""
    scale = max(float(each.abs().max()) for each in one.values())
    return max(float((each - other[name]).abs().max()) for name, each in one.items()) / scale


if __name__ == "__main__":
    main()
