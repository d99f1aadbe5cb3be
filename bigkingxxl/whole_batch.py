"""Sums over a batch that several devices share."""

from __future__ import annotations

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
    from torch.distributed.nn import functional

    add: Any = functional.all_reduce
    shared: Tensor = add(total)
    return shared
