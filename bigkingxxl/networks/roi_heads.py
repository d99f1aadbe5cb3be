"""What looks at a region: heads for its box and type, and for its mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import (
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    TwoMLPHead,
)
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

BOX_SIDE = 7
HeadNorm = Literal["none", "batch"]


class BoxHead(nn.Module):
    """Type and box of a region, from its pooled features.

    Args:
        kind: 'fc' is two linear layers; 'conv' four convolutions and a linear one.
        width: of the linear layers; types: cell types, background not counted.
        boxes_by_type: a box for every type and for background, or one for all.
    """

    def __init__(
        self, channels: int, kind: Literal["fc", "conv"], width: int, types: int,
        boxes_by_type: bool, norm: HeadNorm,
    ) -> None:  # fmt: skip
        super().__init__()
        if kind == "fc":
            self.head: nn.Module = TwoMLPHead(channels * BOX_SIDE**2, width)
        else:
            self.head = FastRCNNConvFCHead(
                (channels, BOX_SIDE, BOX_SIDE), [channels] * 4, [width], norm_layer=norm_layer(norm)
            )
        self.predictor = FastRCNNPredictor(width, types + 1)
        if not boxes_by_type:
            self.predictor.bbox_pred = nn.Linear(width, 4)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits float[R, 1 + T] (0 = background) and deltas float[R, 4 or 4 (1 + T)]."""
        logits, deltas = self.predictor(self.head(pooled))
        return logits.float(), deltas.float()


class MaskHead(nn.Module):
    """Masks of regions (He et al. 2017).

    Args:
        depth: convolutions before the resolution is doubled; masks: how many a region has.
    """

    def __init__(self, channels: int, width: int, depth: int, masks: int, norm: HeadNorm) -> None:
        super().__init__()
        self.head = MaskRCNNHeads(channels, [width] * depth, 1, norm_layer=norm_layer(norm))
        self.predictor = MaskRCNNPredictor(width, width, masks)

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits float[R, masks, 2 side, 2 side] of pooled float[R, channels, side, side]."""
        logits: Tensor = self.predictor(self.head(pooled))
        return logits.float()


def pool(side: int, samples: int) -> MultiScaleRoIAlign:
    """Pools regions from the level that fits their size; the coarsest is left to proposals.

    Args:
        samples: points a side that each of the side x side bins averages.
    """
    return MultiScaleRoIAlign(["0", "1", "2", "3"], side, samples)


def norm_layer(norm: HeadNorm) -> Callable[..., nn.Module] | None:
    """What makes a norm for some channels, or None."""
    return nn.BatchNorm2d if norm == "batch" else None
