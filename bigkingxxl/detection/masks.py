"""The masks of regions: their loss, and their conversion to candidates without full-size masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bigkingxxl import rle
from bigkingxxl.candidates import Candidates
from bigkingxxl.detection.box_stage import Regions
from bigkingxxl.detection.targets import Target, mask_targets

Float32 = NDArray[np.float32]
CHUNK = 2**22  # pixels of crops that are interpolated at once


def mask_loss(logits: Tensor, regions: Sequence[Regions], targets: Sequence[Target]) -> Tensor:
    """Compute the mean binary cross-entropy of the masks of positive regions.

    Args:
        logits: float[R, M, side, side] of the positive regions of all images; M is 1 or the number
            of types.
        regions: The regions of each image.
        targets: The targets of each image.
    """
    if len(logits) == 0:
        return logits.sum() * 0
    side, labels = logits.shape[-1], torch.cat([each.labels for each in regions])
    wanted = torch.cat([
        mask_targets(target, each.boxes, each.cells, side)
        for each, target in zip(regions, targets, strict=True)
    ])  # fmt: skip
    return functional.binary_cross_entropy_with_logits(mask_of_label(logits, labels), wanted)


def mask_of_label(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mask of each region's type, float[R, side, side], if there are masks per type."""
    if logits.shape[1] == 1:
        return logits[:, 0]
    # If there is a layer for the background, as in torchvision, it comes first.
    return logits[torch.arange(len(logits), device=logits.device), labels]


def mean_inside(probability: Float32) -> Float32:
    """Compute the mean probability of masks [R, side, side] where it exceeds 0.5: float32[R]."""
    inside = probability > 0.5
    total = np.where(inside, probability, 0).sum(axis=(1, 2))
    means: Float32 = (total / np.maximum(inside.sum(axis=(1, 2)), 1)).astype(np.float32)
    return means


def mask_candidates(
    size: tuple[int, int],
    boxes: Float32,
    probability: Float32,
    score: Float32,
    type_probability: Float32,
    type_names: tuple[str, ...],
) -> Candidates:
    """Create candidates whose soft masks are region masks, resized bilinearly to their boxes.

    Args:
        size: (H, W).
        boxes: float32[R, 4], x0, y0, x1, y1 inside the image.
        probability: float32[R, side, side].
        score: float32[R].
        type_probability: float32[R, T].
        type_names: The names of the T cell types.
    """
    whole = np.empty((len(boxes), 4), np.int32)
    whole[:, :2] = np.floor(boxes[:, 1::-1])
    whole[:, 2:] = np.ceil(boxes[:, 3:1:-1])
    whole = np.clip(whole, 0, np.tile(size, 2)).astype(np.int32)
    areas = ((whole[:, 2] - whole[:, 0]) * (whole[:, 3] - whole[:, 1])).astype(np.int64)
    offsets = rle.split_points(areas)
    crops = np.empty(int(offsets[-1]), np.uint8)
    first = 0
    while first < len(boxes):  # in chunks of regions, so that a dense field needs no more memory
        last = max(
            int(np.searchsorted(offsets, offsets[first] + CHUNK, side="right")) - 1, first + 1
        )
        crops[offsets[first] : offsets[last]] = _stretched(
            whole[first:last], boxes[first:last], probability[first:last]
        )
        first = last
    return Candidates(size, whole, crops, offsets, score, type_probability, type_names)


def _stretched(whole: NDArray[np.int32], boxes: Float32, probability: Float32) -> NDArray[np.uint8]:
    """Resize masks to integer boxes; return the crops one after the other, uint8[P]."""
    side = probability.shape[1]
    heights = (whole[:, 2] - whole[:, 0]).astype(np.int64)
    widths = (whole[:, 3] - whole[:, 1]).astype(np.int64)
    # First interpolate the rows of each region (`side` values wide), then the pixels of each row.
    owner = np.repeat(np.arange(len(whole)), heights)
    before, after, share = _axis(whole[:, 0], whole[:, 2], boxes[:, 1], boxes[:, 3], side)
    flat, start = probability.reshape(-1, side), owner * side
    lines = flat[start + before] * (1 - share)[:, None] + flat[start + after] * share[:, None]
    before, after, share = _axis(whole[:, 1], whole[:, 3], boxes[:, 0], boxes[:, 2], side)
    place = rle.expand(rle.split_points(widths)[:-1][owner], widths[owner])
    start = np.repeat(np.arange(len(lines)), widths[owner]) * side
    before, after, share = before[place], after[place], share[place]
    values = lines.ravel()
    mixed = values[start + before] * (1 - share) + values[start + after] * share
    crops: NDArray[np.uint8] = np.rint(np.clip(mixed, 0, 1) * 255).astype(np.uint8)
    return crops


def _axis(
    first: NDArray[np.int32], last: NDArray[np.int32], low: Float32, high: Float32, side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Float32]:
    """Return, for each pixel, the bins before and after its centre and the weight of the latter."""
    counts = (last - first).astype(np.int64)
    owner = np.repeat(np.arange(len(counts)), counts)
    centre = rle.expand(first.astype(np.int64), counts) + 0.5
    bins = (centre - low[owner]) / np.maximum(high - low, 1e-3)[owner] * side - 0.5
    bins = np.clip(bins, 0, side - 1)
    before = np.floor(bins).astype(np.int64)
    return before, np.minimum(before + 1, side - 1), (bins - before).astype(np.float32)
