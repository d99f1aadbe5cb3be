"""The score and the cell type of dense candidates, computed from the maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import SCORE_FLOOR, Candidates

Float32 = NDArray[np.float32]


def label_means(label_map: NDArray[np.int32], values: Float32, count: int) -> Float32:
    """Compute the mean of values [H, W] inside each label 1 .. count, float32[count]."""
    flat = np.flatnonzero(label_map)
    owner = label_map.ravel()[flat] - 1
    total = np.bincount(owner, weights=values.ravel()[flat], minlength=count)
    area = np.bincount(owner, minlength=count)
    means: Float32 = (total / np.maximum(area, 1)).astype(np.float32)
    return means


def scored_candidates(
    label_map: NDArray[np.int32],
    foreground: Float32,
    agreement: Float32 | None,
    type_layers: Float32,
    type_names: tuple[str, ...],
) -> Candidates:
    """Create candidates of decoded labels.

    The score is the mean foreground probability inside the mask times the agreement of the mask
    with the map that separated it from its neighbours (its flow or distance), so that the scores of
    different methods are comparable.

    Args:
        label_map: int32[H, W].
        foreground: float32[H, W] in [0, 1].
        agreement: float32[N] in [0, 1], or None if the representation has no such map.
        type_layers: float32[T, H, W], the weights of the cell types.
        type_names: The names of the T cell types.
    """
    count = int(label_map.max(initial=0))
    score = label_means(label_map, foreground, count)
    if agreement is not None:
        score = score * np.clip(agreement, 0, 1)
    types = np.stack([label_means(label_map, layer, count) for layer in type_layers], axis=1)
    types = types / np.maximum(types.sum(axis=1, keepdims=True), 1e-6)
    found = Candidates.from_label_map(label_map, foreground, score, types, type_names)
    return found.take(found.score >= SCORE_FLOOR)
