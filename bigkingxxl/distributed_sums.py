"""Sums over a batch that several devices share."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def over_devices(total: Tensor) -> Tensor:
    """A sum over this device's part of a batch, summed over all devices that train together.

    Gradients of a loss made of such sums, averaged over the devices, are those of one device that
    has the whole batch. All devices have to ask for the same sums in the same order. On one device
    it is the sum itself.
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return total
    if distributed.get_world_size() == 1:
        return total
    shared: Tensor = _summing().apply(total)
    return shared


@cache
def _summing() -> Any:
    """The sum as a function with a gradient: of what all devices make of it, the sum again."""
    import torch
    from torch import distributed

    class Summing(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, total: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
            shared = total.clone()
            distributed.all_reduce(shared)
            return shared

        @staticmethod
        def backward(ctx: Any, slope: Tensor) -> Tensor:  # noqa: ARG004
            shared = slope.contiguous().clone()
            distributed.all_reduce(shared)
            return shared

    return Summing
