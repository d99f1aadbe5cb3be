"""Boxes as deltas to others, as R-CNN writes them (Girshick et al., 2014, appendix C)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST_GROWTH = math.log(1000.0 / 16)  # of a side: exp of more would be no box


class BoxCoder:
    """Writes boxes as shifts and growths relative to regions, and reads them back.

    The same numbers as torchvision's detectors, whose own is private.

    Args:
        weights: by which shifts (x, y) and growths (w, h) are multiplied.
    """

    def __init__(self, weights: tuple[float, float, float, float]) -> None:
        self.weights = weights

    def encode(self, boxes: Tensor, regions: Tensor) -> Tensor:
        """float[N, 4]: the deltas that turn regions into boxes.

        Args:
            boxes, regions: float[N, 4] as x0, y0, x1, y1.
        """
        centre, side = _centres(regions)
        wanted_centre, wanted_side = _centres(boxes)
        weights = boxes.new_tensor(self.weights)
        shift = weights[:2] * (wanted_centre - centre) / side
        growth = weights[2:] * torch.log(wanted_side / side)
        return torch.cat((shift, growth), dim=1)

    def decode(self, deltas: Tensor, regions: Tensor) -> Tensor:
        """float[N, 4 K]: the boxes that K deltas make of each region.

        Args:
            deltas: float[N, 4 K]; regions: float[N, 4] as x0, y0, x1, y1.
        """
        centre, side = (each[:, None] for each in _centres(regions.to(deltas.dtype)))
        each = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)
        each = each / deltas.new_tensor(self.weights)
        middle = each[..., :2] * side + centre
        half = 0.5 * torch.exp(each[..., 2:].clamp(max=LARGEST_GROWTH)) * side
        return torch.cat((middle - half, middle + half), dim=-1).flatten(1)


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sides, each float[N, 2]."""
    side = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] + 0.5 * side, side
