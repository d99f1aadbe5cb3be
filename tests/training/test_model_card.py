from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigkingxxl.data.base import Dataset
from bigkingxxl.images import Normalisation
from bigkingxxl.instances import Instances
from bigkingxxl.training.model_card import image_diameters, statistic_ranges


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """30 noise images; the i-th shows squares of side 4 + i % 10 of one of two types."""
    rng = np.random.default_rng(0)
    paths, cells = {}, {}
    for index in range(30):
        name = f"image{index:02d}"
        paths[name] = tmp_path / f"{name}.png"
        strength = 5 if index == 3 else 20
        pixels = rng.normal(120, 20, (48, 64))
        pixels[:, :32] += 3 * strength
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[name])
        labels = np.zeros((48, 64), np.int32)
        side = 4 + index % 10
        for cell, (row, col) in enumerate(((2, 2), (2, 30), (30, 2))):
            labels[row : row + side, col : col + side] = cell + 1
        kinds = np.full(3, index % 2, np.int16)
        found = Instances.from_label_map(labels)
        cells[name] = Instances(found.runs, found.splits, found.size, kinds, ("a", "b"))
    return Dataset("pairs", tmp_path, tuple(paths), ("a", "b"), paths, cells.__getitem__)


def test_diameters_by_type(data: Dataset) -> None:
    found = image_diameters(data, data.ids)
    for name, sides in (("a", [4, 6, 8, 10, 12]), ("b", [5, 7, 9, 11, 13])):
        low, high = np.percentile(np.repeat(sides, 3), (5, 95))
        assert found[name] == pytest.approx((low * 2 / np.pi**0.5, high * 2 / np.pi**0.5), rel=0.01)


def test_appearance_spans_the_images(data: Dataset) -> None:
    normalisation = Normalisation()
    every = statistic_ranges(data, data.ids, normalisation)
    rest = statistic_ranges(data, [each for each in data.ids if each != "image03"], normalisation)
    low, high = every["coarse"]
    assert low < rest["coarse"][0] <= rest["coarse"][1] == high


def test_few_images_give_no_range(data: Dataset) -> None:
    few = data.ids[:10]
    assert image_diameters(data, few) == statistic_ranges(data, few, Normalisation()) == {}
