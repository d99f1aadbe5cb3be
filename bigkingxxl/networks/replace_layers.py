"""Layers of a network exchanged for others that carry the same weights under the same names."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

# All of torch's kinds (timm's derive from them); the class that they share is private.
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def replace_layers(network: nn.Module, other: Callable[[nn.Module], nn.Module | None]) -> int:
    """Exchange layers inside a network, in place; returns how many.

    Args:
        network: the layers inside it are asked about, it itself is not.
        other: gives the layer that takes another's place, or None where that one stays.
    """
    made: dict[nn.Module, nn.Module] = {}  # a layer that is used twice stays one
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
    """The layer with the very parameters, buffers, children and mode of another of its shape."""
    for name, parameter in source.named_parameters(recurse=False):
        setattr(layer, name, parameter)
    for name, buffer in source.named_buffers(recurse=False):
        setattr(layer, name, buffer)
    for name, child in source.named_children():
        setattr(layer, name, child)
    return layer.train(source.training)
