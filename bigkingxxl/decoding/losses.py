"""Losses on maps. Arguments are named, so that prediction and target cannot be swapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SMOOTHING = 1e-5


def binary_cross_entropy(*, logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of sigmoid(logits) against targets in [0, 1] of the same shape."""
    from torch.nn import functional

    return functional.binary_cross_entropy_with_logits(input=logits.float(), target=targets)


def dice(*, logits: Tensor, targets: Tensor) -> Tensor:
    """1 - Dice of sigmoid(logits) [B, K, h, w], over the batch a channel, mean over channels.

    Over the batch and not a crop, so that a crop without a cell type does not ask for certainty.
    Source: Milletari et al. 2016, V-Net (sums instead of sums of squares, as MONAI has it).
    """
    probability = logits.float().sigmoid()
    axes = (0, 2, 3)
    shared = (probability * targets).sum(axes)
    total = probability.sum(axes) + targets.sum(axes)
    return (1 - (2 * shared + SMOOTHING) / (total + SMOOTHING)).mean()
