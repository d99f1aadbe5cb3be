"""Instance fusion: combine the candidates of several models, so that agreement raises the score.

It works like weighted box fusion, but on soft masks, and in one pass without a stack of masks.
Source: Solovyev, Wang and Gabruseva 2021, "Weighted boxes fusion".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.inference.selection import soft_areas
from bigkingxxl.inference.stitching import SAME_CELL, half_height_masks
from bigkingxxl.instances import NO_TYPE
from bigkingxxl.overlaps import iou_among

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


def fuse(parts: Sequence[Candidates], weights: Sequence[float] | None = None) -> Candidates:
    """Fuse the candidates of several models over one image; the highest scores come first.

    Candidates are processed by descending weighted score. A candidate joins the group whose first
    member it overlaps most (IoU above 0.5, where each mask is thresholded at half of its own
    maximum), provided that the group has no candidate of the same model yet. Otherwise it starts a
    new group. For a group with M members out of K models:

    - the soft mask is the weighted mean of the members' masks in the union of their boxes, with 0
      outside each box;
    - the score is the sum of weight x score over the M members, divided by the sum of all K
      weights: a
      cell that one of two equal models finds gets half of its score;
    - the type probabilities are the weighted mean over the members that know types. If none does,
      they
      are uniform, which has no effect on a vote.

    A single set of candidates is returned unchanged.

    Args:
        parts: The candidates of each model, in the frame of the image. Models that know types must
            know the same ones, in any order, but for the absence of a type, which some may lack.
            The order of the first with all types and the scale ratio of the first are used.
        weights: The weight of each model, above 0; by default they are equal.

    Raises:
        InputError: The number of weights differs, a weight is not above 0, or the cell types
            differ.
        ValueError: The images differ in size.
    """
    chosen = checked_weights(len(parts), weights)
    if len(parts) == 1:
        return parts[0]
    everything, knows = _together(parts)
    model = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = _surest_first(everything, chosen[model])
    everything, model = everything.take(order), model[order]
    leaders, group = np.unique(_leaders(everything, model), return_inverse=True)
    weight = chosen[model]
    score = _sums(group, weight * everything.score, len(leaders)) / chosen.sum()
    fused = _mean_masks(everything, group, weight, len(leaders))
    return replace(
        fused,
        score=score.astype(np.float32),
        type_probability=_mean_types(everything, group, weight * knows[model], len(leaders)),
    )


def checked_weights(count: int, weights: Sequence[float] | None) -> Float64:
    """Return the weights of the models, float64[count], by default 1 each.

    Raises:
        InputError: The number of weights differs, or a weight is not above 0.
    """
    if count == 0:
        raise InputError("an ensemble needs at least one model", key="models", found=0)
    if weights is None or len(weights) == 0:
        return np.ones(count)
    if len(weights) != count:
        raise InputError(
            f"{count} models and {len(weights)} weights are given, expected one each",
            key="weights",
            found=len(weights),
            expected=count,
        )
    for weight in weights:
        if not 0 < weight < math.inf:
            raise InputError(
                f"a model's weight is {weight}, expected a number above 0",
                key="weights",
                found=weight,
            )
    return np.array(weights, np.float64)


def _together(parts: Sequence[Candidates]) -> tuple[Candidates, NDArray[np.bool_]]:
    """Concatenate all candidates under common type names; return which parts know types, too."""
    knows = np.array([part.type_probability is not None for part in parts])
    known = [part.type_names for part in parts if part.type_probability is not None]
    named = known or [part.type_names for part in parts]
    names = max(named, key=len) if known or len(set(named)) == 1 else ()
    if any(not {*each} <= {*names} <= {*each, NO_TYPE} for each in known):
        sets = " and ".join(", ".join(each) for each in dict.fromkeys(known))
        raise InputError(
            f"candidates of different cell types cannot be fused ({sets})", key="cell_types"
        )
    alike = []
    for part in parts:
        shares: NDArray[np.float32] | None = None
        if known:
            shares = np.zeros((len(part), len(names)), np.float32)
        if shares is not None and part.type_probability is not None:
            shares[:, [names.index(name) for name in part.type_names]] = part.type_probability
        alike.append(replace(part, type_probability=shares, type_names=names))
    return Candidates.concatenate(alike), knows


def _surest_first(candidates: Candidates, weight: Float64) -> Int64:
    """Sort by descending weighted score, int64[N]; ties do not depend on the models' order."""
    column = candidates.boxes.T
    return np.lexsort((soft_areas(candidates), *column[::-1], -weight * candidates.score))


def _leaders(candidates: Candidates, model: Int64) -> Int64:
    """Return the first member of each candidate's group, int64[N]; they are sorted by score."""
    masks = half_height_masks(candidates)
    one, two, overlap = iou_among(masks)
    same = (model[one] != model[two]) & (overlap > SAME_CELL)
    one, two, overlap = one[same], two[same], overlap[same]
    order = np.lexsort((one, -overlap, two))
    leader = list(range(len(candidates)))
    models = [1 << each for each in model.tolist()]
    # Only matching pairs are visited. In their order, everything before a candidate is already
    # settled.
    for first, second in zip(one[order].tolist(), two[order].tolist(), strict=True):
        is_open = leader[first] == first and not models[first] & models[second]
        if is_open and leader[second] == second:
            leader[second] = first
            models[first] |= models[second]
    return np.array(leader, np.int64)


def _mean_masks(candidates: Candidates, group: Int64, weight: Float64, count: int) -> Candidates:
    """Compute one candidate per group: the weighted mean mask in the union of the boxes.

    Args:
        candidates: The candidates.
        group: int64[N], the group 0 .. count - 1 of each candidate.
        weight: float64[N].
        count: The number of groups.
    """
    boxes = np.empty((count, 4), np.int32)
    boxes[:, :2], boxes[:, 2:] = np.iinfo(np.int32).max, 0
    for side in range(4):
        widest = np.minimum if side < 2 else np.maximum
        widest.at(boxes[:, side], group, candidates.boxes[:, side])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1, dtype=np.int64)
    offsets = rle.split_points(areas)
    owner, row, col = candidates.pixels()
    of = group[owner]
    place = offsets[of] + (row - boxes[of, 0]) * (boxes[of, 3] - boxes[of, 1]) + col - boxes[of, 1]
    total = _sums(place, weight[owner] * candidates.probability, int(offsets[-1]))
    total /= np.repeat(_sums(group, weight, count), areas)
    return replace(
        candidates,
        boxes=boxes,
        probability=np.rint(total).astype(np.uint8),
        offsets=offsets,
        score=np.zeros(count, np.float32),
        type_probability=None,
    )


def _mean_types(
    candidates: Candidates, group: Int64, weight: Float64, count: int
) -> NDArray[np.float32] | None:
    """Compute weighted mean type probabilities, float32[count, T]; uniform without any weight."""
    shares = candidates.type_probability
    if shares is None:
        return None
    total = _sums(group, weight, count)[:, None]
    sums = np.stack([_sums(group, weight * column, count) for column in shares.T], axis=1)
    alike = np.full_like(sums, 1 / max(shares.shape[1], 1))
    return np.divide(sums, total, out=alike, where=total > 0).astype(np.float32)


def _sums(place: Int64, values: Float64, count: int) -> Float64:
    """Sum the values at each place, float64[count]."""
    return np.bincount(place, weights=values, minlength=count).astype(np.float64)
