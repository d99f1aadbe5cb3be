"""Select instances from candidates: thresholds, mask NMS and painting, by cell type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.overlaps import collisions, iou_among, iou_pairs
from bigkingxxl.settings import nearest

FEW = 256  # number of masks whose pairs are all compared, however many overlap
CROWDED = 16  # overlapping pairs per run above which masks count as heaped


def select(
    candidates: Candidates,
    points: OperatingPoints,
    *,
    cell_type: str | None = None,
    pixel_size_um: tuple[float, float] | None = None,
) -> Instances:
    """Select disjoint, scored cells; the highest scores come first.

    A pixel belongs to a cell if its probability exceeds the mask threshold. A candidate is kept if
    its score reaches the score threshold, its area reaches the minimum (before and after painting),
    and its IoU with no better candidate exceeds the NMS limit. Where cells overlap, the one with
    the higher score takes the pixel. The minimum area is given in pixels of the training images and
    converted by the scale ratio of the candidates.

    Args:
        candidates: The candidates of an image.
        points: The operating points.
        cell_type: The cell type of the image, if known; otherwise the candidates vote.
        pixel_size_um: The pixel size of the image, which the result carries.

    Raises:
        InputError: The candidates do not know the cell type.
    """
    if candidates.type_probability is None and cell_type is None:
        # Nobody knows the type: the first name would be a guess, and so would its parameters.
        candidates = replace(candidates, type_names=())
    types = vote(candidates, points, cell_type)
    least = _parameter_values(candidates, points, types, "score_threshold").astype(np.float32)
    order = candidates.ranking()
    order = order[(candidates.score >= least)[order]]
    candidates, types = candidates.take(order), types[order]
    thresholds = _parameter_values(candidates, points, types, "mask_threshold")
    masks = masks_above(candidates, thresholds, types)
    minimum = (
        _parameter_values(candidates, points, types, "minimum_area") / candidates.scale_ratio**2
    )
    minimum, limits = (
        np.maximum(minimum, 1),
        _parameter_values(candidates, points, types, "nms_iou"),
    )
    large = masks.areas() >= minimum
    masks, minimum, limits = masks.take(large), minimum[large], limits[large]
    kept = mask_nms(masks, limits)
    masks, minimum = masks.take(kept), minimum[kept]
    painted = masks.disjoint(np.arange(len(masks))[::-1])
    result = painted.take(painted.areas() >= minimum)
    return replace(result, pixel_size_um=pixel_size_um)


def vote(
    candidates: Candidates, points: OperatingPoints, cell_type: str | None = None
) -> NDArray[np.int16]:
    """Assign a cell type to each candidate, int16[N], by image or by cell.

    In a vote by image the weight of a candidate is its score times its soft area, so that small
    debris does not decide.

    Raises:
        InputError: The candidates do not know the cell type.
    """
    count, names = len(candidates), candidates.type_names or (UNTYPED,)
    if cell_type is not None:
        if cell_type not in names:
            raise InputError(
                f"no cell type '{cell_type}' in this model{nearest(cell_type, names)}",
                key="cell_type",
                found=cell_type,
                expected=tuple(names),
            )
        return np.full(count, names.index(cell_type), np.int16)
    shares = candidates.type_probability
    if shares is None or count == 0:
        return np.zeros(count, np.int16)
    if points.type_vote == "cell":
        likeliest: NDArray[np.int16] = shares.argmax(axis=1).astype(np.int16)
        return likeliest
    return np.full(count, image_type(candidates), np.int16)


def image_type(candidates: Candidates) -> int:
    """Return the index of the cell type that the candidates vote for; 0 if none knows types.

    The weight of a candidate is its score times its soft area, divided among the types by their
    probabilities.
    """
    if candidates.type_probability is None:
        return 0
    votes = type_votes(candidates.type_probability, candidates.score * soft_areas(candidates))
    return votes.index(max(votes))


def type_votes(shares: NDArray[np.float32], weight: NDArray[Any]) -> list[float]:
    """Sum the votes for T types; the result does not depend on the order of the candidates.

    Args:
        shares: float32[N, T], type probabilities.
        weight: float[N].
    """
    return [math.fsum((column * weight).tolist()) for column in shares.T]


def soft_areas(candidates: Candidates) -> NDArray[np.float64]:
    """Return the sum of each soft mask in pixels, float64[N]."""
    areas = np.zeros(len(candidates))
    some = np.flatnonzero(np.diff(candidates.offsets))
    if len(some):
        starts = candidates.offsets[some]
        areas[some] = np.add.reduceat(candidates.probability, starts, dtype=np.int64) / 255
    return areas


def _parameter_values(
    candidates: Candidates, points: OperatingPoints, types: NDArray[np.int16], parameter: str
) -> NDArray[np.float64]:
    """Return the value of a parameter for the type of each candidate, float64[N]."""
    names = candidates.type_names or (UNTYPED,)
    values = [getattr(points.of(name).select, parameter) for name in names]
    return np.array(values, np.float64)[types]


def masks_above(
    candidates: Candidates, thresholds: NDArray[np.float64], types: NDArray[np.int16] | None = None
) -> Instances:
    """Threshold each soft mask at its own threshold in [0, 1]; the N cells may overlap."""
    # An integer exceeds a limit if it exceeds the limit's integer part; 255 is never exceeded.
    limits = np.clip(np.floor(thresholds * 255), -1, 255).astype(np.int16)
    lengths = np.diff(candidates.offsets)
    runs, counts = [np.zeros((0, 3), np.int32)], [np.zeros(0, np.int64)]
    for block, pixels in rle.blocks(lengths):
        offsets = candidates.offsets[block.start : block.stop + 1] - pixels.start
        inside = candidates.probability[pixels] > np.repeat(limits[block], lengths[block])
        found, splits = rle.crop_runs(inside, candidates.boxes[block], offsets)
        runs.append(found)
        counts.append(np.diff(splits))
    count = len(candidates)
    return Instances(
        np.concatenate(runs), rle.split_points(np.concatenate(counts)), candidates.size,
        np.zeros(count, np.int16) if types is None else types,
        candidates.type_names or (UNTYPED,), candidates.score,
    )  # fmt: skip


def mask_nms(masks: Instances, limits: NDArray[np.float64] | Sequence[float]) -> NDArray[np.int64]:
    """Return the indices that mask NMS keeps.

    A mask is discarded if its IoU with an earlier, kept mask exceeds its limit.

    Args:
        masks: The masks in descending order of score.
        limits: float64[N].
    """
    limits = np.asarray(limits, np.float64)
    # An IoU never exceeds 1.
    if len(masks) == 0 or limits.min() >= 1:
        return np.arange(len(masks))
    if len(masks) > FEW and collisions(masks) > CROWDED * len(masks.runs):
        return _nms_of_halves(masks, limits)
    one, two, overlap = iou_among(masks)
    hit = overlap > limits[two]
    return not_suppressed(len(masks), one[hit], two[hit])


def _nms_of_halves(masks: Instances, limits: NDArray[np.float64]) -> NDArray[np.int64]:
    """Apply `mask_nms` to heaped masks: what the better half suppresses is not compared further.

    N masks in one place form N squared pairs, but only the pairs with the few kept masks matter.
    """
    half = len(masks) // 2
    sure, rest = np.arange(half), np.arange(half, len(masks))
    sure = sure[mask_nms(masks.take(sure), limits[sure])]
    _, two, overlap = iou_pairs(masks.take(sure), masks.take(rest))
    suppressed = np.zeros(len(rest), bool)
    suppressed[two[overlap > limits[rest][two]]] = True
    rest = rest[~suppressed]
    return np.concatenate((sure, rest[mask_nms(masks.take(rest), limits[rest])]))


def not_suppressed(
    count: int, first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the indices of 0 .. count - 1 that are kept; a kept `first[i]` removes `second[i]`."""
    kept = np.ones(count, bool)
    order = np.lexsort((first, second))
    # Only overlapping pairs are visited. In their order every earlier decision is final.
    for high, low in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if kept[high]:
            kept[low] = False
    return np.flatnonzero(kept)
