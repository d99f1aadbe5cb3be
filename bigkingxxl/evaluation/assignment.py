"""The optimal one-to-one assignment of sparse pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


def assign(first: Int64, second: Int64, worth: Float64) -> Int64:
    """Select pairs so that no cell is used twice and the total worth is maximal.

    Args:
        first: int64[K], the first cell of each pair; no pair occurs twice.
        second: int64[K], the second cell of each pair.
        worth: float64[K], above 0.

    Returns:
        int64[L], the indices of the selected pairs in ascending order.
    """
    kept, left = [np.zeros(0, np.int64)], np.arange(len(first))
    while len(left):
        one, two, gain = first[left], second[left], worth[left]
        # A pair worth more than the best two that it excludes is in every optimal assignment.
        sure = gain > _best_other(one, gain) + _best_other(two, gain)
        if not sure.any():
            kept.append(left[_solved(one, two, gain)])
            break
        kept.append(left[sure])
        used_one, used_two = _flags(one[sure], one), _flags(two[sure], two)
        left = left[~(used_one | used_two)]
    return np.sort(np.concatenate(kept))


def _best_other(cell: Int64, worth: Float64) -> Float64:
    """Return the highest worth of another pair of each pair's cell, float64[K]; 0 if none."""
    best, second = np.zeros((2, int(cell.max()) + 1))
    np.maximum.at(best, cell, worth)
    is_best = worth == best[cell]
    np.maximum.at(second, cell[~is_best], worth[~is_best])
    only = is_best & (np.bincount(cell[is_best], minlength=len(best)) == 1)[cell]
    return np.where(only, second[cell], best[cell])


def _flags(some: Int64, cells: Int64) -> NDArray[np.bool_]:
    """Return which of the cells are in `some`, bool[K]."""
    found = np.zeros(int(cells.max()) + 1, bool)
    found[some] = True
    return found[cells]


def _solved(first: Int64, second: Int64, worth: Float64) -> Int64:
    """Assign like `assign`; a cell of the first set may remain unassigned."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    one, row = np.unique(first, return_inverse=True)
    two, column = np.unique(second, return_inverse=True)
    alone = np.arange(len(one))
    # Every cell also has a dummy partner, so that a full matching always exists. Explicit zeros
    # would not be stored, so 1 is added to all weights.
    matrix = csr_array(
        (
            np.concatenate((worth + 1, np.ones(len(one)))),
            tuple(
                np.concatenate(each).astype(np.int32)  # SciPy below 1.15 takes no other indices
                for each in ((row, alone), (column, len(two) + alone))
            ),
        ),
        shape=(len(one), len(two) + len(one)),
    )
    rows, columns = min_weight_full_bipartite_matching(matrix, maximize=True)
    chosen = np.full(len(one), -1)
    chosen[rows] = columns
    return np.flatnonzero(chosen[row] == column)
