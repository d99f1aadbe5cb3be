"""One stage of box heads: the targets of its regions, its losses, and the refined boxes."""

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

BETA = 1 / 9  # where the box loss turns from quadratic to linear, as in torchvision
LEAST_SIDE = 0.01  # pixels, as in torchvision


@dataclass(frozen=True)
class Regions:
    """The regions of one image with their targets.

    Attributes:
        boxes: float[R, 4].
        cells: int64[R], the annotated cell that each overlaps most.
        labels: int64[R], 1 + the type of the cell; 0 for background.
    """

    boxes: Tensor
    cells: Tensor
    labels: Tensor

    @property
    def positive(self) -> Tensor:
        """Whether each region is a cell, bool[R]."""
        return self.labels > 0

    def take(self, index: Tensor) -> Regions:
        """Select regions by index."""
        return Regions(self.boxes[index], self.cells[index], self.labels[index])


def labelled(boxes: Tensor, target: Target, least_iou: float) -> Regions:
    """Assign boxes to the cells that they overlap with an IoU of at least `least_iou`."""
    if len(target["boxes"]) == 0:
        none = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return Regions(boxes, none, none)
    iou, cells = best_match(boxes, target["boxes"])
    labels = torch.where(iou >= least_iou, target["labels"][cells], 0)
    return Regions(boxes, cells, labels)


def first_regions(
    proposals: Tensor, target: Target, least_iou: float, count: int, positive_share: float
) -> Regions:
    """Sample the regions of an image for training; the annotated boxes are among them."""
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
    """Compute the cross-entropy of the types and the smooth L1 loss of the boxes over all regions.

    Args:
        logits: float[R, 1 + T], of all images in order.
        deltas: float[R, 4] or [R, 4 (1 + T)], of all images in order.
        regions: The regions of each image.
        targets: The targets of each image.
        coder: Encodes the boxes.
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
    """Return the deltas of each region's type, float[R, 4], if there are deltas per type."""
    if deltas.shape[1] == 4:
        return deltas
    row = torch.arange(len(deltas), device=deltas.device)
    return deltas.reshape(len(deltas), -1, 4)[row, labels]


def refined(boxes: Tensor, deltas: Tensor, coder: BoxCoder, size: tuple[int, int]) -> Tensor:
    """Refine boxes and clip them to the image: float[R, 4], or [R, K, 4] for deltas [R, 4 K].

    A box that would become empty keeps a small size, so that no region is lost.
    """
    moved = coder.decode(deltas, boxes).reshape(len(boxes), -1, 4)
    moved = clip_boxes_to_image(moved, size)
    limit = moved.new_tensor([size[1], size[0]])
    low = torch.minimum(moved[..., :2], limit - LEAST_SIDE)
    moved = torch.cat((low, torch.maximum(moved[..., 2:], low + LEAST_SIDE)), dim=-1)
    return moved[:, 0] if deltas.shape[1] == 4 else moved
