"""Replace layers of a network by others with the same weights and names."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

# All convolution classes of torch (timm's derive from them); their common base class is private.
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def replace_layers(network: nn.Module, other: Callable[[nn.Module], nn.Module | None]) -> int:
    """Replace layers inside a network in place; return how many.

    Args:
        network: The network; it is not replaced itself.
        other: Returns the replacement of a layer, or None to keep it.
    """
    made: dict[nn.Module, nn.Module] = {}  # a layer that is used twice is replaced once
    for name, layer in list(network.named_modules(remove_duplicate=False)):
        if not name:
            continue
        if layer not in made:
            found = other(layer)
            if found is None:
                continue
            made[layer] = found
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, made[layer])
    return len(made)


def with_state_of(layer: nn.Module, source: nn.Module) -> nn.Module:
    """Give a layer the parameters, buffers, children and mode of another of the same shape."""
    for name, parameter in source.named_parameters(recurse=False):
        setattr(layer, name, parameter)
    for name, buffer in source.named_buffers(recurse=False):
        setattr(layer, name, buffer)
    for name, child in source.named_children():
        setattr(layer, name, child)
    return layer.train(source.training)
