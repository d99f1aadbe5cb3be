"""The losses of all stages, from proposals to masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bigkingxxl.detection.box_coding import BoxCoder
from bigkingxxl.detection.box_stage import (
    Regions,
    box_losses,
    first_regions,
    labelled,
    of_label,
    refined,
)
from bigkingxxl.detection.masks import mask_loss
from bigkingxxl.detection.targets import Target

if TYPE_CHECKING:
    from bigkingxxl.networks.region_network import RegionNetwork


@dataclass(frozen=True)
class RegionLossOptions:
    """The options of the losses of S stages.

    Attributes:
        ious: The IoU threshold of each stage, S values.
        weights: The weight of each stage, S values.
        regions: The number of regions sampled from an image.
        positive_share: The largest fraction of regions that are cells.
        mask_weight: The weight of the mask loss.
    """

    ious: Sequence[float]
    weights: Sequence[float]
    regions: int
    positive_share: float
    mask_weight: float


def region_losses(
    network: RegionNetwork,
    levels: list[Tensor],
    proposals: Sequence[Tensor],
    targets: Sequence[Target],
    size: tuple[int, int],
    coders: Sequence[BoxCoder],
    options: RegionLossOptions,
) -> dict[str, Tensor]:
    """Compute the type and box losses of each stage and the mask loss, weighted.

    Regions are sampled once. Each stage labels them by its own IoU and passes on its boxes. Masks
    are learned on the regions that prediction will use: in a cascade, those after the last stage.

    Args:
        network: The network.
        levels: The feature levels.
        proposals: The proposals of each image.
        targets: The targets of each image.
        size: (H, W) of the images.
        coders: The box coder of each stage.
        options: The thresholds, weights and numbers of regions.
    """
    ious, weights = options.ious, options.weights
    learnt = [
        first_regions(boxes.detach(), target, ious[0], options.regions, options.positive_share)
        for boxes, target in zip(proposals, targets, strict=True)
    ]
    losses: dict[str, Tensor] = {}
    for stage, coder in enumerate(coders):
        if stage:
            learnt = _judged(learnt, targets, ious[stage])
        logits, deltas = network.box_logits(stage, levels, [each.boxes for each in learnt], size)
        types, boxes = box_losses(logits, deltas, learnt, targets, coder)
        losses[f"type_{stage + 1}"] = weights[stage] * types
        losses[f"box_{stage + 1}"] = weights[stage] * boxes
        if len(coders) > 1:
            learnt = _moved(learnt, logits, deltas, coder, size)
    masked = _judged(learnt, targets, ious[0]) if len(coders) > 1 else learnt
    cells = [each.take(torch.where(each.positive)[0]) for each in masked]
    logits = network.mask_logits(levels, [each.boxes for each in cells], size)
    losses["mask"] = options.mask_weight * mask_loss(logits, cells, targets)
    return losses


def _judged(
    regions: Sequence[Regions], targets: Sequence[Target], least_iou: float
) -> list[Regions]:
    """Label the same boxes again, with another IoU threshold."""
    return [
        labelled(each.boxes, target, least_iou)
        for each, target in zip(regions, targets, strict=True)
    ]


def _moved(
    regions: Sequence[Regions], logits: Tensor, deltas: Tensor, coder: BoxCoder,
    size: tuple[int, int],
) -> list[Regions]:  # fmt: skip
    """Return the regions with the refined boxes of a stage."""
    counts = [len(each.boxes) for each in regions]
    labels = logits.detach()[:, 1:].argmax(dim=1) + 1
    own = torch.split(of_label(deltas.detach(), labels), counts)
    return [
        Regions(refined(each.boxes, part, coder, size), each.cells, each.labels)
        for each, part in zip(regions, own, strict=True)
    ]
