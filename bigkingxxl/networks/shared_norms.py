"""Batch norms that share their statistics over all devices of a batch.

torch's own support GPUs only, and converting timm's loses their activation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from bigkingxxl.distributed_sums import over_devices
from bigkingxxl.networks.replace_layers import BATCH_NORMS, replace_layers, with_state_of


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm over the parts of a batch on all devices."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise float[B, C, h, w]."""
        if not self.training:
            return super().forward(input)
        return normalised(self, input)


class SharedBatchNormAct2d(BatchNormAct2d):
    """A shared batch norm followed by timm's activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate float[B, C, h, w]."""
        if not self.training:
            activated: Tensor = super().forward(x)
            return activated
        found: Tensor = self.act(self.drop(normalised(self, x)))
        return found


def normalised(norm: Any, images: Tensor) -> Tensor:
    """Compute what `nn.BatchNorm2d` in training computes for the whole batch."""
    import torch

    with torch.autocast(images.device.type, enabled=False):
        values = images.float()
        axes, shape = (0, 2, 3), (1, -1, 1, 1)
        count = values.new_tensor(values.numel() / values.shape[1])
        sums = over_devices(torch.cat((values.sum(axes), count[None])))
        total = sums[-1].detach()
        mean = sums[:-1] / total
        centred = values - mean.view(shape)
        variance = over_devices(centred.square().sum(axes)) / total
        found = centred * (variance.view(shape) + norm.eps).rsqrt()
        if norm.affine:
            found = found * norm.weight.view(shape) + norm.bias.view(shape)
        if norm.track_running_stats and norm.running_mean is not None:
            with torch.no_grad():
                norm.num_batches_tracked += 1
                own = norm.momentum
                share = 1.0 / float(norm.num_batches_tracked) if own is None else own
                norm.running_mean.lerp_(mean.detach(), share)
                unbiased = variance.detach() * total / (total - 1).clamp(min=1)
                norm.running_var.lerp_(unbiased, share)
    same: Tensor = found.to(images.dtype)
    return same


def share_norms(network: nn.Module) -> int:
    """Make the batch norms of a network share their statistics; return how many there are.

    Raises:
        TypeError: The class of a batch norm is not supported.
    """
    return replace_layers(network, _shared)


def _shared(layer: nn.Module) -> nn.Module | None:
    if not isinstance(layer, BATCH_NORMS):
        return None
    kinds: dict[type[nn.Module], Callable[..., nn.Module]] = {
        nn.BatchNorm2d: SharedBatchNorm2d, BatchNormAct2d: SharedBatchNormAct2d,
    }  # fmt: skip
    if type(layer) not in kinds:
        raise TypeError(f"a batch norm of the kind {type(layer).__name__} cannot be shared")
    norm: Any = layer
    made = kinds[type(layer)](
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats,
        device="meta",
    )  # fmt: skip
    return with_state_of(made, layer)
