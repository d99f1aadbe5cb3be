"""Annotated cells, plausible predictions of them, and slow reference implementations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.instances import Instances

Labels = NDArray[np.int32]
SIZE = (90, 120)


def truth_and_found(seed: int, cells: int = 25) -> tuple[Labels, Labels]:
    """Two label maps: discs, and the same moved, grown, merged, cut, left out and added."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    truth, found = np.zeros(SIZE, np.int32), np.zeros(SIZE, np.int32)
    for number in range(1, cells + 1):
        row, column, radius = *rng.uniform(0, SIZE), rng.uniform(2, 11)
        truth[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
        move, grown = rng.normal(0, 1.5, 2), radius * rng.uniform(0.7, 1.3)
        inside = (rows - row - move[0]) ** 2 + (columns - column - move[1]) ** 2 <= grown**2
        fate = rng.random()
        if fate < 0.15:
            continue
        found[inside] = number if fate < 0.8 else max(1, number - 1)
        if fate > 0.93:
            found[inside & (rows > row)] = cells + number
    if cells:
        found[rows + columns < 4] = 3 * cells
    return truth, found


def dense_overlap(truth: Labels, found: Labels) -> tuple[NDArray[np.int64], ...]:
    """int64[N, M] shared pixels of every pair, and the areas of both, label by label."""
    first = [truth == label for label in np.unique(truth) if label]
    second = [found == label for label in np.unique(found) if label]
    shared = np.array([[(a & b).sum() for b in second] for a in first], np.int64)
    return (
        shared.reshape(len(first), len(second)),
        np.array([a.sum() for a in first], np.int64),
        np.array([b.sum() for b in second], np.int64),
    )


def dense_iou(truth: Labels, found: Labels) -> NDArray[np.float64]:
    """float64[N, M]."""
    shared, first, second = dense_overlap(truth, found)
    union = first[:, None] + second[None] - shared
    return np.asarray(shared / np.maximum(union, 1))


def cells_of(labels: Labels) -> Instances:
    return Instances.from_label_map(labels)
