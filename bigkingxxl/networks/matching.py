"""Match anchors and proposals with annotated boxes, in bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

CHUNK = 2**24  # IoU values held at once


def best_match(boxes: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the highest IoU of each box, float[N], and the annotated box, int64[N].

    Args:
        boxes: float[N, 4], x0, y0, x1, y1 in pixels.
        truth: float[M, 4] in the same form, M at least 1.
    """
    step = max(1, CHUNK // len(truth))
    parts = [box_iou(each, truth).max(dim=1) for each in torch.split(boxes, step)]
    if not parts:
        return boxes.new_zeros(0), torch.zeros(0, dtype=torch.int64, device=boxes.device)
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def best_boxes(boxes: Tensor, truth: Tensor) -> Tensor:
    """Return the indices of the boxes with the highest IoU with an annotated box, ties included.

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
    """Return labels float[A] (1 cell, 0 background, -1 neither) and the cell of each anchor."""
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
    """Draw up to `count` random indices, at most a given fraction of them positive.

    Args:
        positive: bool[N].
        count: The number of indices.
        positive_share: The largest fraction of positive ones.
    """
    yes, no = torch.where(positive)[0], torch.where(~positive)[0]
    wanted = min(len(yes), int(count * positive_share))
    yes = yes[torch.randperm(len(yes), device=yes.device)[:wanted]]
    no = no[torch.randperm(len(no), device=no.device)[: count - wanted]]
    return torch.cat((yes, no))
