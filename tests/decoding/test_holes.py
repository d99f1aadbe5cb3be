"""Holes of all cells at once, compared with scipy's filling label by label."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.decoding.holes import fill_holes


def test_enclosed_pixels_belong_to_the_cell() -> None:
    labels = np.zeros((9, 12), np.int32)
    labels[1:8, 1:8] = 2
    labels[2:7, 2:7] = 0
    labels[4, 4] = 1  # a cell in the hole of another is filled with it
    labels[2:5, 9:12] = 3
    labels[3, 11] = 0  # a bay at the image's border is no hole
    expected = labels.copy()
    expected[1:8, 1:8] = 2
    np.testing.assert_array_equal(fill_holes(labels), expected)


@settings(max_examples=400)
@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 8), st.integers(1, 8)),
                  elements=st.integers(0, 2)))  # fmt: skip
def test_holes_are_filled_label_by_label(labels: NDArray[np.int32]) -> None:
    expected = labels.copy()
    for label in (1, 2):
        expected[ndimage.binary_fill_holes(expected == label)] = label
    np.testing.assert_array_equal(fill_holes(labels), expected)


def test_rings_that_cross_are_filled_in_order() -> None:
    """Each encloses a pixel of the other; filling the first opens the second."""
    labels = np.array([[0, 1, 2, 0], [1, 2, 1, 2], [0, 1, 2, 0]], np.int32)
    expected = labels.copy()
    expected[1, 1] = 1
    np.testing.assert_array_equal(fill_holes(labels), expected)


def test_an_open_maze_is_not_a_hole() -> None:
    maze = np.ones((41, 41), np.int32)
    maze[1::2, 1:-1] = 0
    maze[2:-1:4, -2] = maze[4:-1:4, 1] = 0
    way_out = maze.copy()
    way_out[0, 1] = 0
    np.testing.assert_array_equal(fill_holes(way_out), way_out)
    np.testing.assert_array_equal(fill_holes(maze), np.ones_like(maze))
