"""torchvision's region proposal network with matching in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from bigkingxxl.networks.matching import match_anchors

FOREGROUND_IOU, BACKGROUND_IOU = 0.7, 0.3


class Float32Head(RPNHead):
    """torchvision's head with float32 outputs at any precision.

    In bfloat16 the corners of boxes would be multiples of 4 pixels from 512 on.
    """

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Compute objectness float32[B, A, h, w] and deltas float32[B, 4 A, h, w] per level."""
        objectness, deltas = super().forward(x)
        return [each.float() for each in objectness], [each.float() for each in deltas]


class RegionProposals(RegionProposalNetwork):
    """Region proposals at every level of a pyramid (Ren et al. 2015).

    torchvision matches all anchors with all cells at once, which takes 2 GB for 800 cells at twice
    the resolution. Its losses are inherited.

    Args:
        channels: The channels of the pyramid.
        depth: The number of convolutions in the head.
        sizes: The sides of the anchors of each level, in network pixels.
        ratios: Height divided by width.
        proposals: The largest numbers in training and in prediction, before NMS by level and after.
        samples: The number of anchors sampled from an image.
        nms_iou: The IoU of the NMS.
    """

    def __init__(
        self,
        channels: int,
        depth: int,
        sizes: Sequence[Sequence[float]],
        ratios: Sequence[float],
        proposals: tuple[int, int],
        samples: int,
        nms_iou: float,
    ) -> None:
        anchors = AnchorGenerator(
            tuple(tuple(each) for each in sizes), (tuple(ratios),) * len(sizes)
        )
        head = Float32Head(channels, anchors.num_anchors_per_location()[0], depth)
        limits = dict(zip(("training", "testing"), proposals, strict=True))
        super().__init__(
            anchors, head, FOREGROUND_IOU, BACKGROUND_IOU, samples, 0.5, limits, limits, nms_iou
        )

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the labels and the matched boxes of anchors for each image; see torchvision."""
        labels, boxes = [], []
        for each, target in zip(anchors, targets, strict=True):
            truth = target["boxes"]
            label, index = match_anchors(each, truth, FOREGROUND_IOU, BACKGROUND_IOU)
            labels.append(label)
            boxes.append(truth[index] if len(truth) else torch.zeros_like(each))
        return labels, boxes

    def propose(
        self, images: Tensor, levels: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Compute proposals float[P, 4] of each image and, in training, the losses by name.

        Args:
            images: float[B, C, H, W].
            levels: The levels of the pyramid.
            targets: Dictionaries with 'boxes' float[N, 4]; needed in training.
        """
        size = (int(images.shape[-2]), int(images.shape[-1]))
        listed = ImageList(images, [size] * len(images))
        named = {str(level): each for level, each in enumerate(levels)}
        boxes, losses = self(listed, named, targets)
        return boxes, losses
