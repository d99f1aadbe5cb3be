"""Distances between boundaries, compared with distance transforms of the same pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure

from bigkingxxl.evaluation.boundaries import Side, boundary_distances
from bigkingxxl.instances import Instances

Mask = NDArray[np.bool_]
HEIGHTS = (1, 3, 40, 150)
WIDTHS = (1, 2, 31, 32, 33, 63, 64, 65, 127, 140)
SIZE = (160, 150)


def blots(rng: np.random.Generator, height: int, width: int) -> Mask:
    """bool[height, width]: thin lines, holes, parts and single pixels, from edge to edge."""
    mask: Mask = rng.random((height, width)) < rng.choice([0.02, 0.3, 0.97])
    mask[rng.integers(height), rng.integers(width)] = True
    mask[: rng.integers(1, height + 1), : rng.integers(1, width + 1)] |= rng.random() < 0.5
    return mask


def placed(masks: list[Mask], corners: list[tuple[int, int]]) -> Instances:
    return Instances.from_crops(corners, masks, SIZE)


def referred(one: Mask, two: Mask) -> tuple[float, float]:
    cross = generate_binary_structure(2, 1)
    first, second = (mask & ~binary_erosion(mask, cross) for mask in (one, two))
    every = np.concatenate(
        (distance_transform_edt(~second)[first], distance_transform_edt(~first)[second])
    )
    return float(every.mean()), float(np.percentile(every, 95))


def test_all_widths_and_heights_are_those_of_distance_transforms() -> None:
    rng = np.random.default_rng(0)
    firsts, seconds, corners, expected = [], [], [], []
    for height in HEIGHTS:
        for width in WIDTHS:
            corner = (int(rng.integers(SIZE[0] - height + 1)), int(rng.integers(10)))
            one, two = blots(rng, height, width), blots(rng, height, width)
            firsts.append(one)
            seconds.append(two)
            corners.append(corner)
            expected.append(referred(one, two))
    first, second = placed(firsts, corners), placed(seconds, corners)
    order = rng.permutation(len(firsts))
    found = boundary_distances(Side(first, order), Side(second, order))
    mean, high = np.array(expected)[order].T
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.high, high, rtol=1e-12)


def test_cells_in_opposite_corners_and_of_different_cells() -> None:
    dot, bar = np.ones((1, 1), bool), np.ones((1, 60), bool)
    first = placed([dot, bar], [(0, 0), (159, 0)])
    second = placed([bar, dot], [(159, 0), (159, 60)])
    found = boundary_distances(Side(first, np.array([0, 1])), Side(second, np.array([1, 0])))
    far = float(np.hypot(159, 60))
    np.testing.assert_allclose(found.mean, [far, 0], rtol=1e-12)
    np.testing.assert_allclose(found.high, [far, 0], rtol=1e-12)


def test_no_pairs_have_no_distances() -> None:
    none = Side(Instances.empty(SIZE), np.zeros(0, np.int64))
    found = boundary_distances(none, none)
    assert len(found.mean) == len(found.high) == 0
