"""The simulator's public API: the contents of a field of simulated cells."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.simulate import CELL_TYPES, SimulatedField, simulate_field
from tests.refusals import refused

# Cells in a 520 x 704 image of the real data (fewest, most) and their median area in px.
REAL_COUNTS = {"astro": (5, 594), "cort": (4, 108), "shsy5y": (53, 782)}
REAL_MEDIAN_AREA = {"astro": 665, "cort": 208, "shsy5y": 197}
SIZE = (260, 352)

Fields = dict[str, list[SimulatedField]]


@pytest.fixture(scope="module")
def fields() -> Fields:
    seeds = {"astro": range(8), "cort": range(12), "shsy5y": range(5)}
    return {name: [simulate_field(name, size=SIZE, seed=s) for s in seeds[name]] for name in seeds}


def cover(field: SimulatedField) -> NDArray[np.int64]:
    """int64[H, W]: the number of cells that contain each pixel."""
    depth = np.zeros(field.image.shape, np.int64)
    for cell in field.cells:
        rows = slice(cell.row0, cell.row0 + cell.mask.shape[0])
        cols = slice(cell.col0, cell.col0 + cell.mask.shape[1])
        depth[rows, cols] += cell.mask
    return depth


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_same_seed_same_bytes(cell_type: str) -> None:
    first, second = (simulate_field(cell_type, size=(96, 128), seed=7) for _ in range(2))
    other = simulate_field(cell_type, size=(96, 128), seed=8)
    assert first.image.tobytes() == second.image.tobytes()
    assert len(first.cells) == len(second.cells)
    for one, two in zip(first.cells, second.cells, strict=True):
        assert (one.row0, one.col0) == (two.row0, two.col0)
        np.testing.assert_array_equal(one.mask, two.mask)
    assert first.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_counts_follow_the_type(fields: Fields, cell_type: str) -> None:
    share = SIZE[0] * SIZE[1] / (520 * 704)
    fewest, most = REAL_COUNTS[cell_type]
    for field in fields[cell_type]:
        assert max(1, fewest * share * 0.8) <= len(field.cells) <= most * share + 1
        assert field.cell_type == cell_type


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_masks_are_tight_and_inside_the_image(fields: Fields, cell_type: str) -> None:
    for field in fields[cell_type]:
        assert field.image.shape == SIZE
        assert field.image.dtype == np.uint8
        for cell in field.cells:
            assert cell.mask.dtype == np.bool_
            for axis in (0, 1):
                edge = np.atleast_1d(cell.mask.any(axis=1 - axis))
                assert edge[0]
                assert edge[-1]
            assert 0 <= cell.row0 <= SIZE[0] - cell.mask.shape[0]
            assert 0 <= cell.col0 <= SIZE[1] - cell.mask.shape[1]


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_median_area_is_the_types(fields: Fields, cell_type: str) -> None:
    areas = [int(cell.mask.sum()) for field in fields[cell_type] for cell in field.cells]
    assert 0.65 < np.median(areas) / REAL_MEDIAN_AREA[cell_type] < 1.5


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_contrast_coincides_with_the_masks(fields: Fields, cell_type: str) -> None:
    inside, outside = [], []
    for field in fields[cell_type]:
        covered = cover(field) > 0
        inside.append(field.image[covered].astype(float))
        outside.append(field.image[~covered].astype(float))
    # Cells stand out by texture and edges, and are darker than the background on average.
    assert np.concatenate(inside).std() > 1.3 * np.concatenate(outside).std()
    assert np.concatenate(inside).mean() < np.concatenate(outside).mean() - 0.5


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_background_lies_near_128(fields: Fields, cell_type: str) -> None:
    for field in fields[cell_type]:
        assert abs(int(np.bincount(field.image.ravel()).argmax()) - 128) <= 6


def test_cells_touch_but_hardly_overlap(fields: Fields) -> None:
    depths = [cover(field) for field in fields["shsy5y"]]
    twice = np.mean([(depth > 1).mean() for depth in depths])
    assert 0 < twice < 0.01
    assert np.mean([touching_share(field) for field in fields["shsy5y"]]) > 0.3


def touching_share(field: SimulatedField) -> float:
    """Share of cells with another cell's pixel within two pixels of their bounding box's mask."""
    depth = np.pad(cover(field), 2)
    touching = 0
    for cell in field.cells:
        padded = np.pad(cell.mask, 4)
        near = np.zeros_like(padded)
        for row in range(-2, 3):
            for col in range(-2, 3):
                near |= np.roll(padded, (row, col), (0, 1))
        near, own = near[2:-2, 2:-2], padded[2:-2, 2:-2]
        rows = slice(cell.row0, cell.row0 + near.shape[0])
        cols = slice(cell.col0, cell.col0 + near.shape[1])
        touching += bool(((depth[rows, cols] - own)[near] > 0).any())
    return touching / max(1, len(field.cells))


@pytest.mark.parametrize("size", [(128, 160), (33, 200), (97, 61)])
def test_other_sizes(size: tuple[int, int]) -> None:
    field = simulate_field("shsy5y", size=size, seed=2)
    assert field.image.shape == size
    assert field.cells


@pytest.mark.parametrize("count", [0, 1, 20])
def test_the_count_can_be_given(count: int) -> None:
    assert len(simulate_field("cort", size=(256, 256), seed=3, cell_count=count).cells) == count


def test_a_crowded_field_contains_the_requested_cells() -> None:
    field = simulate_field("shsy5y", size=(130, 176), seed=4, cell_count=782 // 16)
    assert len(field.cells) == 782 // 16


def test_more_cells_than_fit_leave_a_full_field() -> None:
    field = simulate_field("astro", size=(64, 64), seed=5, cell_count=90)
    assert 1 <= len(field.cells) < 90


def test_contrast_and_focus_vary_from_seed_to_seed(fields: Fields) -> None:
    deviations = [float(field.image.std()) for field in fields["cort"]]
    assert max(deviations) > 1.3 * min(deviations)


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"cell_type": "hela", "seed": 1}, {"key": "cell_type", "found": "hela"}),
        ({"cell_type": "cort", "seed": 1, "size": (8, 100)}, {"key": "size", "found": (8, 100)}),
        ({"cell_type": "cort", "seed": -1}, {"key": "seed", "found": -1}),
        ({"cell_type": "cort", "seed": 1, "cell_count": -2}, {"key": "cell_count", "found": -2}),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, object], fields: dict[str, object]
) -> None:
    with refused(InputError, **fields):
        simulate_field(**arguments)  # type: ignore[arg-type]
