"""Losses of maps. The arguments are named, so that prediction and target cannot be swapped.

Targets are NaN where the image is not annotated; these values are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigkingxxl.distributed_sums import over_devices

if TYPE_CHECKING:
    from torch import Tensor

SMOOTHING = 1e-5


def known_mean(values: Tensor, *, targets: Tensor) -> Tensor:
    """Compute the mean of the values whose targets are not NaN; 0 if there are none."""
    known = ~targets.isnan()
    return over_devices((values * known).sum()) / over_devices(known.sum().float()).clamp(min=1)


def gaps(*, logits: Tensor, targets: Tensor) -> Tensor:
    """Return logits minus targets in float32; finite where the targets are NaN."""
    # A NaN that is later multiplied by 0 would still reach the gradient.
    return logits.float() - targets.nan_to_num()


def binary_cross_entropy(*, logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean cross-entropy of sigmoid(logits) and targets in [0, 1]."""
    from torch.nn import functional

    surprise = functional.binary_cross_entropy_with_logits(
        input=logits.float(), target=targets.nan_to_num(), reduction="none"
    )
    return known_mean(surprise, targets=targets)


def dice(*, logits: Tensor, targets: Tensor) -> Tensor:
    """Compute 1 - Dice of sigmoid(logits) [B, K, h, w], summed over the batch, averaged over K.

    The sums run over the batch and not over single crops, so that a crop without a cell type does
    not demand certainty. Source: Milletari et al. 2016, V-Net (with sums instead of sums of
    squares, as in MONAI).
    """
    probability = logits.float().sigmoid() * ~targets.isnan()
    targets = targets.nan_to_num()
    axes = (0, 2, 3)
    shared = over_devices((probability * targets).sum(axes))
    total = over_devices(probability.sum(axes) + targets.sum(axes))
    return (1 - (2 * shared + SMOOTHING) / (total + SMOOTHING)).mean()
