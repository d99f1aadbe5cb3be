"""Box coding: boxes as deltas relative to regions (Girshick et al., 2014, appendix C)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST_GROWTH = math.log(1000.0 / 16)  # limits the growth of a side, which is exponential


class BoxCoder:
    """Encodes boxes as shifts and growths relative to regions, and decodes them.

    The values are the same as in torchvision's detectors, whose own coder is private.

    Args:
        weights: The factors of the shifts (x, y) and the growths (w, h).
    """

    def __init__(self, weights: tuple[float, float, float, float]) -> None:
        self.weights = weights

    def encode(self, boxes: Tensor, regions: Tensor) -> Tensor:
        """Encode the deltas that turn regions into boxes, float[N, 4].

        Args:
            boxes: float[N, 4] as x0, y0, x1, y1.
            regions: float[N, 4] as x0, y0, x1, y1.
        """
        centre, side = _centres(regions)
        wanted_centre, wanted_side = _centres(boxes)
        weights = boxes.new_tensor(self.weights)
        shift = weights[:2] * (wanted_centre - centre) / side
        growth = weights[2:] * torch.log(wanted_side / side)
        return torch.cat((shift, growth), dim=1)

    def decode(self, deltas: Tensor, regions: Tensor) -> Tensor:
        """Decode K deltas per region into boxes, float[N, 4 K].

        Args:
            deltas: float[N, 4 K].
            regions: float[N, 4] as x0, y0, x1, y1.
        """
        centre, side = (each[:, None] for each in _centres(regions.to(deltas.dtype)))
        each = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)
        each = each / deltas.new_tensor(self.weights)
        middle = each[..., :2] * side + centre
        half = 0.5 * torch.exp(each[..., 2:].clamp(max=LARGEST_GROWTH)) * side
        return torch.cat((middle - half, middle + half), dim=-1).flatten(1)


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centres and the sides, float[N, 2] each."""
    side = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] + 0.5 * side, side
