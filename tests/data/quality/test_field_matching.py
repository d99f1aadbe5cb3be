"""Fields of view matched by pixels: images cut up, shifted, or with nothing in common."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.groups import connected, find_groups
from bigkingxxl.data.quality.field_matching import matching_images
from tests.data.small_data import kaggle_folder, rectangles

Pixels = NDArray[np.float64]
SIZE = (128, 160)


def texture(seed: int, size: tuple[int, int]) -> Pixels:
    """Cells and dust as seen through a lens."""
    rng = np.random.default_rng(seed)
    fine, coarse = (gaussian_filter(rng.standard_normal(size), width) for width in (0.7, 4.0))
    picture: Pixels = fine / fine.std() + 0.5 * coarse / coarse.std()
    return picture


def seen(picture: Pixels, seed: int, noise: float = 0.2) -> NDArray[np.uint8]:
    """The image of a camera with its own noise."""
    rng = np.random.default_rng(1000 + seed)
    noisy = picture + noise * rng.standard_normal(picture.shape)
    return np.clip(128 + 20 * noisy, 0, 255).astype(np.uint8)


def dataset_with(folder: Path, pixels: dict[str, NDArray[np.uint8]]) -> Dataset:
    cells = {
        name: rectangles((1, 1, 4, 4), size=(own.shape[0], own.shape[1]))
        for name, own in pixels.items()
    }
    return open_dataset(kaggle_folder(folder, cells, pixels))


def strangers(count: int, size: tuple[int, int] = SIZE) -> dict[str, NDArray[np.uint8]]:
    return {f"z{seed:02}": seen(texture(seed, size), seed) for seed in range(count)}


def test_the_crops_of_one_picture_are_found(tmp_path: Path) -> None:
    height, width = 256, 320
    whole = texture(77, (2 * height, 2 * width))
    crops = {
        f"crop{row}{col}": seen(
            whole[row * height : (row + 1) * height, col * width : (col + 1) * width],
            60 + 2 * row + col,
            noise=0.1,
        )
        for row in range(2)
        for col in range(2)
    }
    found = matching_images(
        dataset_with(tmp_path / "data", {**strangers(12, (height, width)), **crops})
    )
    assert found == [
        ("crop00", "crop01"), ("crop00", "crop10"), ("crop01", "crop11"), ("crop10", "crop11"),
    ]  # fmt: skip


@pytest.mark.parametrize("move", [(0, 0), (3, -7), (-30, 21), (0, 40)])
def test_the_same_place_is_found_at_another_hour(tmp_path: Path, move: tuple[int, int]) -> None:
    # The plate stays; the cells (another texture) have changed.
    plate = texture(88, SIZE)
    first = seen(plate + texture(90, SIZE), 50)
    later = seen(shift(plate, move, order=0, mode="wrap") + texture(91, SIZE), 51)
    images = {**strangers(12), "hour0": first, "hour9": later}
    assert matching_images(dataset_with(tmp_path / "data", images)) == [("hour0", "hour9")]


def test_a_camera_pattern_is_not_a_place(tmp_path: Path) -> None:
    dust = texture(99, SIZE)
    images = {f"z{seed:02}": seen(texture(seed, SIZE) + dust, seed) for seed in range(14)}
    assert matching_images(dataset_with(tmp_path / "data", images)) == []


def test_blank_and_tiny_images_match_nothing(tmp_path: Path) -> None:
    blank = np.full(SIZE, 100, np.uint8)
    tiny = np.full((20, 30), 7, np.uint8)
    images = {**strangers(3), "a": blank, "b": blank.copy(), "c": tiny, "d": tiny.copy()}
    assert matching_images(dataset_with(tmp_path / "data", images)) == []


def test_pixels_decide_without_metadata(tmp_path: Path) -> None:
    plate = texture(88, SIZE)
    images = {**strangers(4), "hour0": seen(plate, 50), "hour9": seen(plate, 51)}
    dataset = dataset_with(tmp_path / "data", images)
    groups = find_groups(dataset)
    assert (groups.count, groups.grouped_by) == (5, "matching seams")
    written = replace(dataset, columns={"field": {name: name[:1] for name in dataset.ids}})
    assert find_groups(written).count == 2
    joined = find_groups(written, pixels=True)
    assert (joined.count, joined.grouped_by) == (2, "fields.csv and matching seams")


@pytest.mark.slow
def test_real_fields_are_found_again(sartorius: Path) -> None:
    dataset = open_dataset(sartorius)
    pairs = matching_images(dataset)
    # The cell types are given by hand, independent of the pixels.
    assert all(dataset.cell_type(first) == dataset.cell_type(second) for first, second in pairs)
    assert len(pairs) > 200
    group = connected(dataset.ids, pairs)
    fields: dict[str, list[str]] = {}
    for name in dataset.ids:
        fields.setdefault(dataset.columns["field"][name], []).append(name)
    together = [pair for names in fields.values() for pair in combinations(names, 2)]
    found = [pair for pair in together if group[pair[0]] == group[pair[1]]]
    assert len(found) >= 0.9 * len(together)
    assert any(group[a] != group[b] for a, b in pairwise(dataset.ids)), "not all are one"
