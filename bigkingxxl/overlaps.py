"""How much the cells of two sets overlap, as sparse matrices: computed once, used by many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bigkingxxl.instances import Instances


def membership(owner: NDArray[Any], flat: NDArray[Any], count: int, pixels: int) -> Any:
    """Sparse float32[count, pixels] with a 1 where a pixel belongs to a cell."""
    ones = np.ones(len(flat), np.float32)
    return sparse.csr_matrix((ones, (owner, flat)), shape=(count, pixels))


def intersections(first: Instances, second: Instances) -> Any:
    """Sparse float32[N, M]: pixels that cell i of `first` and cell j of `second` share.

    Raises:
        ValueError: the two belong to images of different sizes.
    """
    if first.size != second.size:
        raise ValueError(f"cells of {first.size} and of {second.size} pixels cannot be compared")
    pixels = first.size[0] * first.size[1]
    a = membership(*first.pixels(), len(first), pixels)
    b = membership(*second.pixels(), len(second), pixels)
    return (a @ b.T).tocsr()


def iou_from_intersections(
    shared: Any, first_areas: NDArray[Any], second_areas: NDArray[Any]
) -> Any:
    """Sparse float64[N, M] of intersection over union from intersections and areas."""
    pairs = shared.tocoo()
    union = first_areas[pairs.row] + second_areas[pairs.col] - pairs.data
    values = pairs.data.astype(np.float64) / union
    return sparse.csr_matrix((values, (pairs.row, pairs.col)), shape=shared.shape)


def iou(first: Instances, second: Instances) -> Any:
    """Sparse float64[N, M]: intersection over union of every pair that overlaps."""
    return iou_from_intersections(intersections(first, second), first.areas(), second.areas())
