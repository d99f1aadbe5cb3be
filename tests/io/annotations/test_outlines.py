"""Outlines along pixel edges: valid polygons that fill to the same pixels for any cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from matplotlib.path import Path as Curve
from scipy import ndimage

from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.outlines import Ring, filled, outlines
from tests.support import Stack, instances_of, stack_of, stacks

RING_OPEN_AT_A_CORNER = ["###", "#.#", "##."]


def drawn(*rows: str) -> np.ndarray:
    """bool[H, W]: '#' is cell."""
    mask: np.ndarray = np.array([[letter == "#" for letter in row] for row in rows])
    return mask


def area(ring: Ring) -> float:
    """The signed area of a ring, by the shoelace formula."""
    x, y = ring.astype(np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def inside(rings: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """bool[H, W]: pixel centres within an odd number of rings, according to matplotlib."""
    row, col = np.mgrid[: size[0], : size[1]] + 0.5
    centres = np.stack((col.ravel(), row.ravel()), axis=1)
    result = np.zeros(row.size, bool)
    for ring in rings:
        result ^= Curve(np.concatenate((ring, ring[:1])), closed=True).contains_points(centres)
    return result.reshape(size)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((".#.",), [[[(1, 0), (2, 0), (2, 1), (1, 1)]]]),
        (("##", "#."), [[[(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]]]),
        (
            ("#.", ".#"),
            [[[(0, 0), (1, 0), (1, 1), (0, 1)]], [[(1, 1), (2, 1), (2, 2), (1, 2)]]],
        ),
        (
            ("###", "#.#", "###"),
            [[[(0, 0), (3, 0), (3, 3), (0, 3)], [(1, 1), (1, 2), (2, 2), (2, 1)]]],
        ),
        (
            tuple(RING_OPEN_AT_A_CORNER),
            [
                [
                    [(0, 0), (3, 0), (3, 2), (2, 2), (2, 3), (0, 3)],
                    [(1, 1), (1, 2), (2, 2), (2, 1)],
                ]
            ],
        ),
    ],
)
def test_outlines_by_hand(
    rows: tuple[str, ...], expected: list[list[list[tuple[int, ...]]]]
) -> None:
    (polygons,) = outlines(instances_of(drawn(*rows)[None]))
    lists = [[ring.tolist() for ring in rings] for rings in polygons]
    assert lists == [[[list(point) for point in ring] for ring in rings] for rings in expected]


@given(stack=stacks())
def test_outlines_are_valid_and_fill_to_the_same_pixels(stack: Stack) -> None:
    cells = outlines(instances_of(stack))
    assert len(cells) == len(stack)
    for mask, polygons in zip(stack, cells, strict=True):
        parts, count = ndimage.label(mask)
        assert len(polygons) == count
        found = set()
        for rings in polygons:
            pixels = inside(rings, mask.shape)
            (part,) = np.unique(parts[pixels])
            assert np.array_equal(pixels, parts == part)
            found.add(part)
            for ring in rings:
                steps = np.roll(ring, -1, axis=0) - ring
                assert len(np.unique(ring, axis=0)) == len(ring)  # no ring touches itself
                assert ((steps != 0).sum(axis=1) == 1).all()
                assert (np.diff(steps != 0, axis=0) != 0).all()  # every point is a corner
            assert area(rings[0]) > 0
            assert all(area(ring) < 0 for ring in rings[1:])
        assert len(found) == count


@given(stack=stacks())
def test_geos_finds_the_polygons_valid(stack: Stack) -> None:
    """GEOS is a port of the library on which QuPath is built."""
    shapely = pytest.importorskip("shapely", reason="shapely is not installed (extra dev)")
    for mask, polygons in zip(stack, outlines(instances_of(stack)), strict=True):
        shapes = [shapely.Polygon(rings[0], rings[1:]) for rings in polygons]
        cell = shapely.MultiPolygon(shapes)
        assert cell.is_valid
        assert cell.area == mask.sum()


@given(stack=stacks())
def test_filled_is_the_reverse(stack: Stack) -> None:
    cells = instances_of(stack)
    rings = [[ring for polygon in polygons for ring in polygon] for polygons in outlines(cells)]
    assert np.array_equal(stack_of(filled(rings, cells.size)), stack)


def test_nine_hundred_cells_at_once() -> None:
    labels = np.zeros((120, 180), int)
    labels[:, :] = np.arange(900).reshape(30, 30).repeat(4, axis=0).repeat(6, axis=1) + 1
    cells = Instances.from_label_map(labels)
    polygons = outlines(cells)
    assert [len(each) for each in polygons] == [1] * 900
    assert polygons[-1][0][0].tolist() == [[174, 116], [180, 116], [180, 120], [174, 120]]


def test_no_cells_and_a_cell_without_pixels() -> None:
    assert outlines(Instances.empty((5, 6))) == []
    empty = Instances.from_pixels(np.zeros(1, int), np.zeros(1, int), 2, (5, 6))
    assert [len(polygons) for polygons in outlines(empty)] == [1, 0]
    assert len(filled([], (5, 6))) == 0
    assert filled([[], [np.zeros((0, 2))]], (5, 6)).areas().tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(40))
def test_any_polygon_is_filled_where_pixel_centres_are_inside(seed: int) -> None:
    """Also outlines that cross themselves; what lies outside the image is cut."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, 12, (rng.integers(3, 8), 2))
    expected = inside([points], (9, 8))
    for ring in (points, np.concatenate((points, points[:1]))):
        (mask,) = stack_of(filled([[ring]], (9, 8)))
        assert np.array_equal(mask, expected)
