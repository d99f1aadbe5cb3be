"""Muon: momentum with orthogonalised updates, for weights that are matrices.

Source: Jordan et al. 2024, Muon; the scale of the updates matches AdamW as in Liu et al. 2025, Muon
is scalable for LLM training. torch's own supports neither convolutions nor AdamW for other weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
STEPS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)
ADAMW_SIZE = 0.2  # the root mean square of AdamW's typical updates


class Muon(torch.optim.AdamW):
    """AdamW, with Muon for the parameter groups with `muon` set."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step for all groups; return the loss of the closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        for group in groups:
            if group["muon"]:
                self._step_matrices(group)
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            super().step()
        finally:
            self.param_groups = groups
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if "momentum" not in state:
                # AdamW's loading expects a step in every state.
                state["step"], state["momentum"] = torch.zeros(()), torch.zeros_like(weight)
            state["momentum"].mul_(MOMENTUM).add_(weight.grad)
            ahead = weight.grad + MOMENTUM * state["momentum"]
            update = orthogonal(ahead.reshape(len(ahead), -1))
            size = ADAMW_SIZE * max(update.shape) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(update.reshape(weight.shape).to(weight.dtype), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """Approximate U V^T of a matrix U S V^T by the Newton-Schulz iteration in bfloat16."""
    wide = matrix.bfloat16()
    turned = wide.shape[0] > wide.shape[1]
    wide = wide.T if turned else wide
    wide = wide / (wide.norm() + 1e-7)
    a, b, c = QUINTIC
    for _ in range(STEPS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    result: Tensor = wide.T if turned else wide
    return result


def parameter_groups(network: nn.Module, *, muon: bool) -> list[dict[str, Any]]:
    """Return parameter groups for `Muon`; biases and norms have no weight decay."""
    own = {id(weight) for weight in matrices(network)} if muon else set()
    rest = [weight for weight in network.parameters() if id(weight) not in own]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if id(p) in own], "muon": True},
        {"params": [p for p in rest if p.ndim > 1], "muon": False},
        {"params": [p for p in rest if p.ndim <= 1], "muon": False, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def matrices(network: nn.Module) -> Iterator[Tensor]:
    """Yield the weights that mix channels, except those of the input and output layers.

    Depthwise filters do not mix channels; AdamW trains them, as well as norms and biases.
    """
    layers = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    for layer in layers[1:-1]:
        if layer.weight.shape[1] > 1:
            yield layer.weight
