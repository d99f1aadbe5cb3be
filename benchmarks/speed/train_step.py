"""What changes to training cost or save: seconds a step both ways, by turns, in one process.

    python -m benchmarks run train_step --out benchmarks/results/train_step.json

A step of the compact network on random crops: forward, backward, optimizer. Before: depthwise
convolutions in bfloat16 as everything around them; after: in float32. The two take turns, so that
what else runs on the machine weighs on both; seconds of the processor, and the ratio is what holds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bigkingxxl.files import write_json
from bigkingxxl.methods.base import Batch, Crop, Method
from bigkingxxl.methods.registry import make_method
from bigkingxxl.networks.encoders import Float32Conv, Float32ConvSame
from bigkingxxl.provenance import provenance
from bigkingxxl.training.recipe import load_recipe

TYPES = ("astro", "cort", "shsy5y")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8, help="of either kind, after two to warm up")
    parser.add_argument("--crops", type=int, default=8)
    options = parser.parse_args()
    recipe = load_recipe("compact")
    method = make_method(recipe.method, recipe.settings, TYPES)
    batch = random_batch(method, options.crops)
    steps = {
        "before": stepper(method, depthwise_in_bfloat16(method.build()), batch),
        "after": stepper(method, method.build(), batch),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.steps + 2):
        for name, step in steps.items():
            began = time.process_time()
            step()
            seconds[name].append(time.process_time() - began)
    medians = {name: float(np.median(values[2:])) for name, values in seconds.items()}
    ratio = medians["before"] / medians["after"]
    write_json(options.out, {
        **provenance(0),
        "change": "depthwise convolutions in float32 (the rest in bfloat16)",
        "measure": f"CPU seconds a step of {options.crops} crops of 256 x 256, medians by turns",
        **medians,
        "ratio": ratio,
        "threads": torch.get_num_threads(),
        "steps": options.steps,
    })  # fmt: skip
    print(f"{medians['before']:.3f} s a step before, {medians['after']:.3f} after: {ratio:.2f}")


def random_batch(method: Method, crops: int) -> Batch:
    """Noise and targets of empty crops: what a step costs does not depend on what it shows."""
    rng = np.random.default_rng(0)
    empty = np.zeros((1, 256, 256), np.int32)
    made = [
        Crop(rng.standard_normal((1, 256, 256)).astype(np.float32), empty, np.zeros(0, np.int16))
        for _ in range(crops)
    ]
    images = torch.from_numpy(np.stack([crop.image for crop in made]))
    return Batch(images, method.collate([method.targets(crop) for crop in made]))


def depthwise_in_bfloat16(network: nn.Module) -> nn.Module:
    """The network as it was before: every convolution in the precision around it."""
    for layer in network.modules():
        if isinstance(layer, Float32Conv | Float32ConvSame):
            layer.__class__ = type(layer).__bases__[0]
    return network


def stepper(method: Method, network: nn.Module, batch: Batch) -> Callable[[], None]:
    """A function that makes one training step."""
    network = network.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    images: Tensor = batch.images.contiguous(memory_format=torch.channels_last)
    seen: Any = Batch(images, batch.targets)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = method.loss(network, seen)["loss"]
        torch.autograd.backward(loss)
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
