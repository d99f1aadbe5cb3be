"""Discs with and without an outline, and a model's view of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ArrayImage


def discs(diameter: int, count: int = 3) -> NDArray[np.int32]:
    """Discs beside each other, each in a square of twice its diameter."""
    side = 2 * diameter
    row, col = np.mgrid[:side, : side * count]
    inside = np.hypot(row - side / 2, col % side - side / 2) < diameter / 2
    return np.where(inside, col // side + 1, 0).astype(np.int32)


def seen(labels: NDArray[np.int32], blur: float, noise: float = 0.0) -> ArrayImage:
    """Bright cells on a dark ground, blurred, with noise."""
    pixels = ndimage.gaussian_filter(np.where(labels > 0, 160.0, 100.0), blur)
    pixels += np.random.default_rng(0).normal(0, noise, labels.shape)
    return ArrayImage(pixels.astype(np.float32), "discs")


def found_in(labels: NDArray[np.int32]) -> Candidates:
    """Every cell of a label map as a certain candidate."""
    scores = np.full(labels.max(), 0.9, np.float32)
    return Candidates.from_label_map(labels, (labels > 0).astype(np.float32), scores)
