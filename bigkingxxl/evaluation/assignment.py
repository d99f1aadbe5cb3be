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
    contested = _used_twice(first)[first] | _used_twice(second)[second]
    if not contested.any():
        return np.arange(len(first))
    clear = np.flatnonzero(~contested)
    rest = np.flatnonzero(contested)
    # What a clear pair joins is joined with nothing else: only contested cells need a solver.
    kept = rest[_solved(first[rest], second[rest], worth[rest])]
    return np.sort(np.concatenate((clear, kept)))


def _used_twice(cells: Int64) -> NDArray[np.bool_]:
    return np.bincount(cells) > 1


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
