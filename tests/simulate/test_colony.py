"""Colonies and appearances: rods have the requested width and do not touch; light is bright."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label, regionprops

from bigkingxxl.simulate.colony import Colony, draw_colony, place_colony, rod_depth
from bigkingxxl.simulate.modalities import fluorescence, softened
from bigkingxxl.simulate.placement import Layout

SIZE = (220, 260)
COLONY = Colony(
    width=11.0, length=44.0, patch=150.0, bend=6.0, cover=0.8, kept=1.0, gap=0.5, disorder=1.0
)


@pytest.fixture(scope="module")
def packed() -> Layout:
    return place_colony(np.random.default_rng(5), COLONY, SIZE)


def inner_regions(layout: Layout) -> list[Any]:
    """Cells that the image border does not cut."""
    found = []
    for region in regionprops(layout.owner):
        top, left, bottom, right = region.bbox
        if top > 0 and left > 0 and bottom < SIZE[0] and right < SIZE[1]:
            found.append(region)
    return found


def test_rods_have_the_given_width_and_round_ends(packed: Layout) -> None:
    regions = inner_regions(packed)
    assert len(regions) > 25
    widths = [2 * ndimage.distance_transform_edt(np.pad(each.image, 1)).max() for each in regions]
    assert np.median(widths) == pytest.approx(COLONY.width, rel=0.2)
    assert np.median([each.solidity for each in regions]) > 0.9
    # A rectangle fills its frame; a rod with round ends does not.
    upright = [each for each in regions if each.extent > 0.8]
    assert not any(each.image[0, 0] or each.image[-1, -1] for each in upright)


def test_each_cell_is_one_piece_and_what_the_map_shows(packed: Layout) -> None:
    drawn = np.zeros(SIZE, np.int32)
    for number, cell in enumerate(packed.cells, start=1):
        rows, cols = cell.mask.shape
        view = drawn[cell.row0 : cell.row0 + rows, cell.col0 : cell.col0 + cols]
        assert not view[cell.mask].any()
        view[cell.mask] = number
        assert label(cell.mask, connectivity=1).max() == 1
    assert np.array_equal(drawn, packed.owner)


def test_neighbours_are_parted_and_depth_is_highest_on_their_axes(packed: Layout) -> None:
    depth = rod_depth(packed)
    assert (depth[packed.owner == 0] == 0).all()
    ahead, behind = packed.owner[:, :-1], packed.owner[:, 1:]
    touching = (ahead != behind) & (ahead > 0) & (behind > 0)
    assert (depth[:, :-1][touching] == 0).all()
    highest = ndimage.maximum(depth, packed.owner, np.arange(1, len(packed.cells) + 1))
    assert np.median(highest) == pytest.approx(COLONY.width / 2, abs=1.0)


def test_ordered_patches_have_one_direction() -> None:
    straight = replace(COLONY, disorder=0.0, bend=0.0)
    regions = inner_regions(place_colony(np.random.default_rng(1), straight, SIZE))
    turn = np.array([2 * each.orientation for each in regions if each.eccentricity > 0.9])
    assert len(turn) > 20
    # The mean resultant of doubled angles is 1 if all are the same.
    assert abs(np.exp(1j * turn).mean()) > 0.95


def test_drawn_colonies_differ_and_always_give_a_layout() -> None:
    rng = np.random.default_rng(0)
    counts = [len(place_colony(rng, draw_colony(rng), (64, 96)).cells) for _ in range(40)]
    assert max(counts) > 15
    assert min(counts) < 3


def test_fluorescent_cells_are_brighter_than_their_ground(packed: Layout) -> None:
    image = fluorescence(np.random.default_rng(2), packed, rod_depth(packed))
    inside = packed.owner > 0
    assert image.dtype == np.uint8
    assert image[inside].mean() > 2 * image[~inside].mean()
    assert image.max() == 255


def test_soft_images_have_weaker_edges() -> None:
    sharp = np.full((64, 64), 60, np.uint8)
    sharp[:, 32:] = 180
    soft = softened(np.random.default_rng(0), sharp).astype(int)
    assert np.abs(np.diff(soft, axis=1)).max() < 0.9 * 120
    assert soft[:, :20].mean() == pytest.approx(60, abs=2)
