"""Losses on maps. Arguments are named, so that prediction and target cannot be swapped.

Targets are NaN where nothing is annotated; such values enter no loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigkingxxl.distributed_sums import over_devices

if TYPE_CHECKING:
    from torch import Tensor

SMOOTHING = 1e-5


def known_mean(values: Tensor, *, targets: Tensor) -> Tensor:
    """Mean of the values whose targets of the same shape are not NaN; 0 where there are none."""
    known = ~targets.isnan()
    return over_devices((values * known).sum()) / over_devices(known.sum().float()).clamp(min=1)


def gaps(*, logits: Tensor, targets: Tensor) -> Tensor:
    """float32, logits minus targets of the same shape; finite where targets are NaN."""
    # A NaN that a later factor of 0 hides would still reach the gradient.
    return logits.float() - targets.nan_to_num()


def binary_cross_entropy(*, logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of sigmoid(logits) against targets in [0, 1] of the same shape."""
    from torch.nn import functional

    surprise = functional.binary_cross_entropy_with_logits(
        input=logits.float(), target=targets.nan_to_num(), reduction="none"
    )
    return known_mean(surprise, targets=targets)


def dice(*, logits: Tensor, targets: Tensor) -> Tensor:
    """1 - Dice of sigmoid(logits) [B, K, h, w], over the batch a channel, mean over channels.

    Over the batch and not a crop, so that a crop without a cell type does not ask for certainty.
    Source: Milletari et al. 2016, V-Net (sums instead of sums of squares, as MONAI has it).
    """
    probability = logits.float().sigmoid() * ~targets.isnan()
    targets = targets.nan_to_num()
    axes = (0, 2, 3)
    shared = over_devices((probability * targets).sum(axes))
    total = over_devices(probability.sum(axes) + targets.sum(axes))
    return (1 - (2 * shared + SMOOTHING) / (total + SMOOTHING)).mean()
