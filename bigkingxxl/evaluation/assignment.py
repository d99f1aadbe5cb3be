"""The best one-to-one assignment of sparse pairs: each cell is used once at most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


def assign(first: Int64, second: Int64, worth: Float64) -> Int64:
    """Which pairs to keep so that no cell is used twice and the sum of their worth is highest.

    Args:
        first, second: int64[K], the two cells of each pair, no pair given twice.
        worth: float64[K], above 0.
    Returns:
        int64[L]: places of the pairs that are kept, ascending.
    """
    kept, left = [np.zeros(0, np.int64)], np.arange(len(first))
    while len(left):
        one, two, gain = first[left], second[left], worth[left]
        # A pair worth more than the best two that it rules out is in every best assignment.
        sure = gain > _best_other(one, gain) + _best_other(two, gain)
        if not sure.any():
            kept.append(left[_solved(one, two, gain)])
            break
        kept.append(left[sure])
        used_one, used_two = _flags(one[sure], one), _flags(two[sure], two)
        left = left[~(used_one | used_two)]
    return np.sort(np.concatenate(kept))


def _best_other(cell: Int64, worth: Float64) -> Float64:
    """float64[K]: of the cell of each pair, the highest worth of another pair; 0 without one."""
    best, second = np.zeros((2, int(cell.max()) + 1))
    np.maximum.at(best, cell, worth)
    is_best = worth == best[cell]
    np.maximum.at(second, cell[~is_best], worth[~is_best])
    only = is_best & (np.bincount(cell[is_best], minlength=len(best)) == 1)[cell]
    return np.where(only, second[cell], best[cell])


def _flags(some: Int64, cells: Int64) -> NDArray[np.bool_]:
    """bool[K]: which of the cells are among some."""
    found = np.zeros(int(cells.max()) + 1, bool)
    found[some] = True
    return found[cells]


def _solved(first: Int64, second: Int64, worth: Float64) -> Int64:
    """As `assign`; a cell of the first set may stay alone at no gain."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    one, row = np.unique(first, return_inverse=True)
    two, column = np.unique(second, return_inverse=True)
    alone = np.arange(len(one))
    # Every cell has a partner of its own besides, so that a full matching always exists; explicit
    # zeros would not be stored, so all is lifted by 1.
    matrix = csr_array(
        (
            np.concatenate((worth + 1, np.ones(len(one)))),
            (np.concatenate((row, alone)), np.concatenate((column, len(two) + alone))),
        ),
        shape=(len(one), len(two) + len(one)),
    )
    rows, columns = min_weight_full_bipartite_matching(matrix, maximize=True)
    chosen = np.full(len(one), -1)
    chosen[rows] = columns
    return np.flatnonzero(chosen[row] == column)
