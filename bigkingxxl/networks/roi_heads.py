"""Region heads: one for box and type, one for the mask."""

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
    """The type and box of a region, from its pooled features.

    Args:
        channels: The channels of the features.
        kind: 'fc' is two linear layers; 'conv' is four convolutions and a linear layer.
        width: The width of the linear layers.
        types: The number of cell types without the background.
        boxes_by_type: Whether there is a box for each type and for the background.
        norm: The normalisation of the convolutions.
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
        """Compute logits float[R, 1 + T] (0 = background) and deltas float[R, 4 or 4 (1 + T)]."""
        logits, deltas = self.predictor(self.head(pooled))
        return logits.float(), deltas.float()


class MaskHead(nn.Module):
    """The masks of regions (He et al. 2017).

    Args:
        channels: The channels of the features.
        width: The channels of the convolutions.
        depth: The number of convolutions before the resolution is doubled.
        masks: The number of masks per region.
        norm: The normalisation of the convolutions.
    """

    def __init__(self, channels: int, width: int, depth: int, masks: int, norm: HeadNorm) -> None:
        super().__init__()
        self.head = MaskRCNNHeads(channels, [width] * depth, 1, norm_layer=norm_layer(norm))
        self.predictor = MaskRCNNPredictor(width, width, masks)

    def forward(self, pooled: Tensor) -> Tensor:
        """Compute logits float[R, masks, 2 side, 2 side] of float[R, channels, side, side]."""
        logits: Tensor = self.predictor(self.head(pooled))
        return logits.float()


def pool(side: int, samples: int) -> MultiScaleRoIAlign:
    """Create a pooling of regions from the level that fits their size, except the coarsest.

    Args:
        side: The number of bins along each axis.
        samples: The sample points per axis that each bin averages.
    """
    return MultiScaleRoIAlign(["0", "1", "2", "3"], side, samples)


def norm_layer(norm: HeadNorm) -> Callable[..., nn.Module] | None:
    """Return the constructor of a normalisation layer, or None."""
    return nn.BatchNorm2d if norm == "batch" else None
