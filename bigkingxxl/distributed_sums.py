"""Sums over a batch that is distributed over several devices."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def over_devices(total: Tensor) -> Tensor:
    """Sum a value over all devices that train together.

    A loss made of such sums has, after averaging over the devices, the gradients that one device
    with the whole batch would compute. All devices must call this function for the same sums in the
    same order. On a single device the value is returned unchanged.
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
    """Return a differentiable all-reduce, whose gradient is summed over all devices."""
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
