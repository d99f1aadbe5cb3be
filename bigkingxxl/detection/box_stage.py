"""One stage of box heads: what its regions should have been, its losses, the boxes it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import clip_boxes_to_image

from bigkingxxl.detection.box_coding import BoxCoder
from bigkingxxl.detection.targets import Target
from bigkingxxl.networks.matching import best_match, sample

BETA = 1 / 9  # where the box loss turns from square to linear, as in torchvision
LEAST_SIDE = 0.01  # pixels, as torchvision's


@dataclass(frozen=True)
class Regions:
    """Regions of one image and what they show.

    Attributes:
        boxes: float[R, 4]; cells: int64[R], the annotated cell each overlaps most.
        labels: int64[R], 1 + its type, 0 for background.
    """

    boxes: Tensor
    cells: Tensor
    labels: Tensor

    @property
    def positive(self) -> Tensor:
        """bool[R]."""
        return self.labels > 0

    def take(self, index: Tensor) -> Regions:
        """The regions of an index."""
        return Regions(self.boxes[index], self.cells[index], self.labels[index])


def labelled(boxes: Tensor, target: Target, least_iou: float) -> Regions:
    """Boxes with the cells they overlap by `least_iou` or more."""
    if len(target["boxes"]) == 0:
        none = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return Regions(boxes, none, none)
    iou, cells = best_match(boxes, target["boxes"])
    labels = torch.where(iou >= least_iou, target["labels"][cells], 0)
    return Regions(boxes, cells, labels)


def first_regions(
    proposals: Tensor, target: Target, least_iou: float, count: int, positive_share: float
) -> Regions:
    """The regions of an image that are learnt from, the annotated boxes among them."""
    boxes = torch.cat((proposals, target["boxes"]))
    regions = labelled(boxes, target, least_iou)
    return regions.take(sample(regions.positive, count, positive_share))


def box_losses(
    logits: Tensor,
    deltas: Tensor,
    regions: Sequence[Regions],
    targets: Sequence[Target],
    coder: BoxCoder,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the types and smooth L1 of the boxes, both over all regions.

    Args:
        logits: float[R, 1 + T]; deltas: float[R, 4] or [R, 4 (1 + T)], of all images in order.
    """
    labels = torch.cat([each.labels for each in regions])
    boxes = torch.cat([each.boxes for each in regions])
    if len(labels) == 0:
        nothing = logits.sum() * 0
        return nothing, deltas.sum() * 0
    types = functional.cross_entropy(logits, labels)
    positive = torch.where(labels > 0)[0]
    matched = torch.cat([
        target["boxes"][each.cells[each.positive]]
        for each, target in zip(regions, targets, strict=True)
    ])  # fmt: skip
    wanted = coder.encode(matched, boxes[positive])
    own = of_label(deltas, labels)[positive]
    gap = functional.smooth_l1_loss(own, wanted, beta=BETA, reduction="sum")
    return types, gap / len(labels)


def of_label(deltas: Tensor, labels: Tensor) -> Tensor:
    """float[R, 4]: the deltas of each region's type, where there are some for each."""
    if deltas.shape[1] == 4:
        return deltas
    row = torch.arange(len(deltas), device=deltas.device)
    return deltas.reshape(len(deltas), -1, 4)[row, labels]


def refined(boxes: Tensor, deltas: Tensor, coder: BoxCoder, size: tuple[int, int]) -> Tensor:
    """float[R, 4] (or [R, K, 4] of deltas [R, 4 K]): moved boxes, clipped to the image.

    A box that would shrink to nothing keeps a little, so that regions stay in step.
    """
    moved = coder.decode(deltas, boxes).reshape(len(boxes), -1, 4)
    moved = clip_boxes_to_image(moved, size)
    limit = moved.new_tensor([size[1], size[0]])
    low = torch.minimum(moved[..., :2], limit - LEAST_SIDE)
    moved = torch.cat((low, torch.maximum(moved[..., 2:], low + LEAST_SIDE)), dim=-1)
    return moved[:, 0] if deltas.shape[1] == 4 else moved
