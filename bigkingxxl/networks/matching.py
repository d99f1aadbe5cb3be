"""Which annotated box each anchor or proposal belongs to, in bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

CHUNK = 2**24  # IoUs held at once


def best_match(boxes: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The highest IoU of each box, float[N], and whose it is, int64[N].

    Args:
        boxes: float[N, 4]; truth: float[M, 4], M at least 1. Both x0, y0, x1, y1 in pixels.
    """
    step = max(1, CHUNK // len(truth))
    parts = [box_iou(each, truth).max(dim=1) for each in torch.split(boxes, step)]
    if not parts:
        return boxes.new_zeros(0), torch.zeros(0, dtype=torch.int64, device=boxes.device)
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def best_boxes(boxes: Tensor, truth: Tensor) -> Tensor:
    """Indices of the boxes that no other overlaps an annotated box better than (ties included).

    Source: Ren et al. 2015, Faster R-CNN: each annotated box has at least one anchor.
    """
    step = max(1, CHUNK // max(len(boxes), 1))
    found = []
    for part in torch.split(truth, step):
        iou = box_iou(part, boxes)
        best = iou.max(dim=1, keepdim=True).values
        found.append(torch.where((iou == best) & (best > 0))[1])
    merged: Tensor = torch.unique(torch.cat(found))
    return merged


def match_anchors(
    anchors: Tensor, truth: Tensor, foreground_iou: float, background_iou: float
) -> tuple[Tensor, Tensor]:
    """Labels float[A] (1 cell, 0 background, -1 neither) and int64[A], the cell of each anchor."""
    if len(truth) == 0:
        labels = torch.zeros(len(anchors), device=anchors.device)
        return labels, torch.zeros(len(anchors), dtype=torch.int64, device=anchors.device)
    iou, index = best_match(anchors, truth)
    labels = torch.full_like(iou, -1)
    labels[iou < background_iou] = 0
    labels[iou >= foreground_iou] = 1
    labels[best_boxes(anchors, truth)] = 1
    return labels, index


def sample(positive: Tensor, count: int, positive_share: float) -> Tensor:
    """Up to `count` indices drawn at random, at most a share of them positive.

    Args:
        positive: bool[N].
    """
    yes, no = torch.where(positive)[0], torch.where(~positive)[0]
    wanted = min(len(yes), int(count * positive_share))
    yes = yes[torch.randperm(len(yes), device=yes.device)[:wanted]]
    no = no[torch.randperm(len(no), device=no.device)[: count - wanted]]
    return torch.cat((yes, no))
