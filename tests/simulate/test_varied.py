"""Cells of any kind: what varies, and what must always hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.synthesize import Recipe, synthesize
from bigkingxxl.simulate import SimulatedField, simulate_field

SEEDS = range(20, 36)


@pytest.fixture(scope="module")
def fields() -> list[SimulatedField]:
    return [simulate_field("varied", size=(160, 192), seed=seed) for seed in SEEDS]


def test_same_seed_same_bytes(fields: list[SimulatedField]) -> None:
    again = simulate_field("varied", size=(160, 192), seed=SEEDS[0])
    assert np.array_equal(again.image, fields[0].image)
    assert not np.array_equal(fields[0].image, fields[1].image)


def test_masks_lie_inside_the_image(fields: list[SimulatedField]) -> None:
    for field in fields:
        for cell in field.cells:
            assert cell.mask.any()
            assert cell.row0 >= 0
            assert cell.col0 >= 0
            assert cell.row0 + cell.mask.shape[0] <= 160
            assert cell.col0 + cell.mask.shape[1] <= 192


def test_sizes_shapes_and_contrasts_vary_widely(fields: list[SimulatedField]) -> None:
    filled = [field for field in fields if len(field.cells) >= 3]
    assert len(filled) >= 10
    areas = [np.median([cell.mask.sum() for cell in field.cells]) for field in filled]
    assert max(areas) > 4 * min(areas)
    # A rod fills little of the square around its long side, a disc most of it.
    spread = [
        np.median([cell.mask.sum() / max(cell.mask.shape) ** 2 for cell in field.cells])
        for field in filled
    ]
    assert max(spread) > 2 * min(spread)
    contrast = [field.image.std() for field in fields]
    assert max(contrast) > 3 * min(contrast)


def test_some_fields_show_bright_cells_and_some_dark_ones(fields: list[SimulatedField]) -> None:
    brighter = []
    for field in fields:
        mask = np.zeros(field.image.shape, bool)
        for cell in field.cells:
            rows, cols = cell.mask.shape
            mask[cell.row0 : cell.row0 + rows, cell.col0 : cell.col0 + cols] |= cell.mask
        if mask.any() and not mask.all():
            brighter.append(field.image[mask].mean() > field.image[~mask].mean())
    assert 0 < sum(brighter) < len(brighter)


def test_a_data_set_names_its_kind(tmp_path: Path) -> None:
    synthesize(tmp_path, Recipe(4, 0, ("cort", "varied"), (96, 96)), workers=1)
    data = open_dataset(tmp_path)
    assert sorted(data.type_names) == ["cort", "varied"]
    assert {data.cell_type(image_id) for image_id in data.ids} <= {"cort", "varied", None}
