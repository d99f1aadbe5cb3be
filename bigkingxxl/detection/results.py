"""From proposals to the regions that an R-CNN returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from bigkingxxl.detection.box_coding import BoxCoder
from bigkingxxl.detection.box_stage import of_label, refined
from bigkingxxl.detection.masks import mask_of_label

if TYPE_CHECKING:
    from bigkingxxl.networks.region_network import RegionNetwork


@dataclass(frozen=True)
class Found:
    """R regions of one image, in descending order of score.

    Attributes:
        boxes: float[R, 4].
        score: float[R].
        types: float[R, T], type probabilities that add up to 1.
    """

    boxes: Tensor
    score: Tensor
    types: Tensor


def refine(
    network: RegionNetwork,
    levels: list[Tensor],
    proposals: Tensor,
    size: tuple[int, int],
    coders: Sequence[BoxCoder],
) -> tuple[Tensor, Tensor]:
    """Refine proposals over all stages; return boxes and type probabilities.

    The boxes, float[P, 4] or [P, 1 + T, 4], are those of the last stage. The probabilities,
    float[P, 1 + T], are the mean over the stages (Cai and Vasconcelos 2018).
    """
    boxes, shares = proposals, []
    for stage, coder in enumerate(coders):
        logits, deltas = network.box_logits(stage, levels, [boxes], size)
        shares.append(logits.softmax(dim=1))
        if stage < len(coders) - 1:
            deltas = of_label(deltas, logits[:, 1:].argmax(dim=1) + 1)
        boxes = refined(boxes, deltas, coder, size)
    return boxes, torch.stack(shares).mean(dim=0)


def best_regions(
    boxes: Tensor, shares: Tensor, nms_iou: float, least: float, count: int, *, by_type: bool
) -> Found:
    """Select the regions with the highest scores after NMS.

    Args:
        boxes: float[P, 4] or [P, 1 + T, 4].
        shares: float[P, 1 + T], type probabilities; 0 is the background.
        nms_iou: The IoU above which the lower score is discarded.
        least: The least score.
        count: The largest number of regions.
        by_type: Whether each type of a region is a detection of its own and NMS works by type;
            otherwise a region counts once, with the probabilities of all types.
    """
    types = shares[:, 1:]
    if by_type:
        region, kind = torch.where(types >= least)
        score = types[region, kind]
        boxes = boxes[region] if boxes.ndim == 2 else boxes[region, kind + 1]
        kept = batched_nms(boxes, score, kind, nms_iou)[:count]
        one_hot = torch.nn.functional.one_hot(kind[kept], types.shape[1]).to(types.dtype)
        return Found(boxes[kept], score[kept], one_hot)
    score = types.sum(dim=1)
    if boxes.ndim == 3:
        row = torch.arange(len(boxes), device=boxes.device)
        boxes = boxes[row, types.argmax(dim=1) + 1]
    sure = torch.where(score >= least)[0]
    kept = sure[nms(boxes[sure], score[sure], nms_iou)][:count]
    return Found(boxes[kept], score[kept], types[kept] / score[kept, None].clamp(min=1e-6))


def region_masks(
    network: RegionNetwork, levels: list[Tensor], found: Found, size: tuple[int, int], at_once: int
) -> Tensor:
    """Compute mask probabilities, float32[R, side, side], for `at_once` regions at a time."""
    labels = found.types.argmax(dim=1) + 1 if len(found.boxes) else found.types.new_zeros(0)
    parts = [
        mask_of_label(network.mask_logits(levels, [boxes], size), kinds.long()).sigmoid()
        for boxes, kinds in zip(
            torch.split(found.boxes, at_once), torch.split(labels, at_once), strict=True
        )
    ]
    return torch.cat(parts)
