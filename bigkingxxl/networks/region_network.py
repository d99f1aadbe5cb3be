"""The network of every R-CNN: feature pyramid, proposals, a box head per stage, a mask head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigkingxxl.networks.backbone import PyramidBackbone
from bigkingxxl.networks.region_proposals import RegionProposals
from bigkingxxl.networks.roi_heads import BOX_SIDE, BoxHead, MaskHead, pool


class RegionNetwork(nn.Module):
    """The parts of a Mask R-CNN (one box head) or a Cascade Mask R-CNN (several).

    Args:
        backbone: The feature pyramid.
        rpn: The region proposal network.
        box_heads: The box head of each stage.
        mask_head: The mask head.
        mask_side: The side of the mask logits, twice the side of the pooled features.
        samples: The sample points per axis that each pooled bin averages.
    """

    def __init__(
        self, backbone: PyramidBackbone, rpn: RegionProposals, box_heads: list[BoxHead],
        mask_head: MaskHead, mask_side: int, samples: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone, self.rpn = backbone, rpn
        self.box_heads = nn.ModuleList(box_heads)
        self.mask_head = mask_head
        self.box_pool, self.mask_pool = pool(BOX_SIDE, samples), pool(mask_side // 2, samples)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the levels of the feature pyramid."""
        levels: list[Tensor] = self.backbone(images)
        return levels

    def box_logits(
        self, stage: int, levels: list[Tensor], boxes: list[Tensor], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Compute type logits and box deltas for the boxes of all images, one after the other."""
        logits, deltas = self.box_heads[stage](self._pooled(self.box_pool, levels, boxes, size))
        return logits, deltas

    def mask_logits(
        self, levels: list[Tensor], boxes: list[Tensor], size: tuple[int, int]
    ) -> Tensor:
        """Compute mask logits for the boxes of all images, one after the other."""
        logits: Tensor = self.mask_head(self._pooled(self.mask_pool, levels, boxes, size))
        return logits

    @staticmethod
    def _pooled(
        pooling: nn.Module, levels: list[Tensor], boxes: list[Tensor], size: tuple[int, int]
    ) -> Tensor:
        named = {str(level): each for level, each in enumerate(levels[:-1])}
        pooled: Tensor = pooling(named, boxes, [size] * len(boxes))
        # In this memory format the heads' convolutions take two thirds of the time, and upsampling
        # half.
        return pooled.contiguous(memory_format=torch.channels_last)
