"""Targets of hand-made label planes, and their behaviour under flips and rotations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bigkingxxl.decoding.registry import make_representation
from bigkingxxl.decoding.watershed import cell_distance
from bigkingxxl.geometry import SYMMETRIES, Symmetry

NAMES = ("astro", "cort", "shsy5y")
DENSE = pytest.mark.parametrize("name", ["components", "watershed"])


def planes_of(*rows: list[str]) -> NDArray[np.int32]:
    """Label planes drawn as digits."""
    return np.array([[[int(c) for c in line] for line in plane] for plane in rows], np.int32)


@DENSE
def test_one_layer_a_type(name: str) -> None:
    planes = planes_of(["1100", "1100", "0022"])
    targets = make_representation(name, NAMES).targets(planes, np.array([2, 0], np.int16))
    drawn = planes[0]
    np.testing.assert_array_equal(targets[:3], [drawn == 2, drawn == 9, drawn == 1])


@DENSE
def test_a_pixel_under_two_masks_keeps_both_layers(name: str) -> None:
    planes = planes_of(["1110", "1110", "0000"], ["0000", "0222", "0222"])
    targets = make_representation(name, NAMES).targets(planes, np.array([0, 1], np.int16))
    np.testing.assert_array_equal(targets[0], planes[0] == 1)
    np.testing.assert_array_equal(targets[1], planes[1] == 2)
    assert targets[0, 1, 1] == targets[1, 1, 1] == 1


@DENSE
def test_types_of_cells_outside_the_crop_do_not_matter(name: str) -> None:
    planes = planes_of(["0000", "0330", "0000"])
    targets = make_representation(name, NAMES).targets(planes, np.array([0, 0, 1, 2], np.int16))
    assert targets[:3].any(axis=(1, 2)).tolist() == [False, True, False]
    assert targets.dtype == np.float32


@DENSE
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_flips_and_turns_commute(name: str, symmetry: Symmetry) -> None:
    rng = np.random.default_rng(0)
    planes = np.zeros((2, 24, 31), np.int32)
    for label in range(1, 9):
        row, col = rng.integers(0, 20, 2)
        planes[label % 2, row : row + 7, col : col + 9] = label
    types = rng.integers(0, 3, 8).astype(np.int16)
    representation = make_representation(name, NAMES)
    assert {channel.kind for channel in representation.channels} == {"scalar"}
    moved = representation.targets(np.ascontiguousarray(symmetry.apply(planes)), types)
    np.testing.assert_array_equal(moved, symmetry.apply(representation.targets(planes, types)))


@pytest.mark.parametrize("radius", [6, 15, 40])
def test_the_distance_of_a_disc_is_a_cone(radius: int) -> None:
    row, col = np.mgrid[-45:46, -45:46]
    distance_to_centre = np.hypot(row, col)
    disc = distance_to_centre <= radius
    distance = cell_distance(disc[None].astype(np.int32))
    expected = np.where(disc, (radius + 1 - distance_to_centre) / (radius + 1), 0)
    # The border of a disc of pixels lies within a pixel of the circle.
    assert np.abs(distance - expected).max() < 1.1 / radius
    assert distance[45, 45] == 1
    assert not distance[~disc].any()


def test_touching_cells_are_parted_by_the_distance() -> None:
    field = np.zeros((1, 13, 24), np.int32)
    field[0, 1:12, 1:12], field[0, 1:12, 12:23] = 1, 2
    distance = cell_distance(field)
    assert distance[6, 6] == distance[6, 17] == 1
    assert distance[6, 11] == distance[6, 12] == pytest.approx(1 / 6)


def test_a_cell_continues_beyond_the_image() -> None:
    field = np.zeros((1, 5, 9), np.int32)
    field[0, :, :4] = 1
    np.testing.assert_allclose(cell_distance(field)[2], [1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0])


def test_each_cell_reaches_one_and_its_border_is_lowest() -> None:
    planes = planes_of(
        ["000000000000", "011111000020", "011111000000", "011111033333", "011111033333",
         "011111033333", "000000000000"]
    )  # fmt: skip
    distance = cell_distance(planes)
    assert [float(distance[planes[0] == k].max()) for k in (1, 2, 3)] == [1, 1, 1]
    # Border 1, then 2, then 3 at the centre of 5 x 5.
    np.testing.assert_allclose(distance[3, 1:6], [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3], atol=1e-6)


def test_overlapping_cells_keep_the_smaller_distance() -> None:
    planes = np.zeros((2, 9, 20), np.int32)
    planes[0, :, :11], planes[1, :, 8:] = 1, 2
    alone = [cell_distance(plane[None]) for plane in planes]
    both = (planes > 0).all(axis=0)
    distance = cell_distance(planes)
    np.testing.assert_array_equal(distance[both], np.minimum(*alone)[both])
    np.testing.assert_array_equal(distance[~both], np.maximum(*alone)[~both])
