"""Differentiable layers: the masks of regions pasted into the image, one layer per cell type.

The hard masks of a detector have no gradient. Here the value of a pixel is interpolated bilinearly
from its region's mask, and a layer is the probability that at least one region covers the pixel
(noisy OR).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHUNK = 2**20  # pixels pasted at once; the backward pass recomputes them chunk by chunk
STEP = 16  # the sides of windows are rounded up to it, to limit the number of shapes
SUREST = 1 - 1e-4  # a probability of 1 would stop every gradient


def soft_layers(boxes: Tensor, masks: Tensor, types: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute 1 - prod over regions of (1 - type weight x mask probability), float32[T, H, W].

    Memory is that of the result and one chunk, however many regions there are.

    Args:
        boxes: float[R, 4], x0, y0, x1, y1 inside the image, without gradient.
        masks: float[R, side, side], probabilities.
        types: float[R, T], score times type probability.
        size: (H, W).
    """
    missed = masks.new_zeros((types.shape[1], size[0] * size[1]), dtype=torch.float32)
    for chosen, window in _chunks(boxes):
        missed = missed + checkpoint(
            _log_missed, boxes[chosen], masks[chosen].float(), types[chosen].float(), window, size,
            use_reentrant=False,
        )  # fmt: skip
    return (1 - missed.exp()).reshape(-1, *size)


def _chunks(boxes: Tensor) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """Yield indices of regions that fit a window (rows, columns), few enough to paste at once."""
    sides = boxes[:, [3, 2]].ceil() - boxes[:, [1, 0]].floor()
    windows = ((sides / STEP).ceil() * STEP).long().clamp(min=STEP)
    for window in torch.unique(windows, dim=0):
        rows, columns = (int(side) for side in window)
        fitting = torch.where((windows == window).all(dim=1))[0]
        for part in torch.split(fitting, max(CHUNK // (rows * columns), 1)):
            yield part, (rows, columns)


def _log_missed(
    boxes: Tensor, masks: Tensor, types: Tensor, window: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Sum log(1 - type weight x mask probability) over regions: float32[T, H W]."""
    row, v, in_rows = _places(boxes[:, 1], boxes[:, 3], window[0], size[0])
    column, u, in_columns = _places(boxes[:, 0], boxes[:, 2], window[1], size[1])
    grid = torch.stack(
        (u[:, None, :].expand(-1, window[0], -1), v[:, :, None].expand(-1, -1, window[1])), dim=-1
    )
    seen = functional.grid_sample(masks[:, None], grid, padding_mode="border", align_corners=False)[
        :, 0
    ]
    seen = seen * (in_rows[:, :, None] & in_columns[:, None, :])
    flat = (row[:, :, None] * size[1] + column[:, None, :]).reshape(-1)
    missed = torch.log1p(-(types.T[:, :, None, None] * seen).clamp(max=SUREST))
    nothing = missed.new_zeros((types.shape[1], size[0] * size[1]))
    return nothing.index_add(1, flat, missed.reshape(types.shape[1], -1))


def _places(low: Tensor, high: Tensor, count: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the pixels of regions along one axis, int64[R, count].

    Also return their positions in the mask (-1 to 1), and whether they belong to the region (its
    box, rounded outwards) and lie in the image.
    """
    pixel = low.floor()[:, None] + torch.arange(count, device=low.device)
    place = (pixel + 0.5 - low[:, None]) / (high - low).clamp(min=1e-3)[:, None] * 2 - 1
    own = (pixel < high.ceil()[:, None]) & (pixel >= 0) & (pixel < length)
    return pixel.long().clamp(0, length - 1), place, own
