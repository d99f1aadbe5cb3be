"""Dimensionless statistics of images, checked on hand-made images."""

from __future__ import annotations

import numpy as np
import pytest

from bigkingxxl.images import ArrayImage, Normalisation
from bigkingxxl.inference.domain.image_statistics import (
    block_means,
    image_statistics,
    outside_ranges,
    ranges,
)

NORMALISATION = Normalisation()


def texture(size: tuple[int, int] = (256, 320)) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    rng = np.random.default_rng(5)
    coarse = np.kron(rng.normal(0, 20, (size[0] // 8, size[1] // 8)), np.ones((8, 8)))
    return np.clip(120 + coarse + rng.normal(0, 8, size), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("factor", "offset"), [(257.0, 0.0), (1 / 255, 0.0), (0.013, 40.0)])
def test_statistics_do_not_depend_on_units(factor: float, offset: float) -> None:
    pixels = texture()
    expected = image_statistics(ArrayImage(pixels), NORMALISATION)
    found = image_statistics(ArrayImage(pixels * factor + offset), NORMALISATION)
    assert found == pytest.approx(expected, rel=1e-3)


def test_exchanging_bright_and_dark_turns_the_skewness() -> None:
    pixels = (texture().astype(np.float64) / 16) ** 3
    expected = image_statistics(ArrayImage(pixels), NORMALISATION)
    found = image_statistics(ArrayImage(-pixels), NORMALISATION)
    assert expected["skewness"] > 0.2
    assert found.pop("skewness") == pytest.approx(-expected.pop("skewness"), rel=1e-3)
    assert found == pytest.approx(expected, rel=1e-3)


def test_blocks_are_coarse_and_noise_is_fine() -> None:
    rng = np.random.default_rng(0)
    noise = image_statistics(ArrayImage(rng.normal(0, 1, (256, 256))), NORMALISATION)
    blocks = np.kron(rng.normal(0, 1, (8, 8)), np.ones((32, 32)))
    coarse = image_statistics(ArrayImage(blocks), NORMALISATION)
    # The mean of n values of white noise has 1 / sqrt(n) of its spread.
    assert noise["coarse"] == pytest.approx(1 / 16, rel=0.2)
    assert noise["fine"] == pytest.approx(np.sqrt(1 - 1 / 16), rel=0.02)
    assert noise["grain"] == pytest.approx(2 / np.sqrt(np.pi), rel=0.02)
    assert coarse["coarse"] == pytest.approx(1, abs=0.01)
    assert coarse["fine"] < 0.05


def test_an_enlarged_image_has_the_same_statistics_at_its_scale() -> None:
    pixels = texture()
    enlarged = ArrayImage(np.kron(pixels, np.ones((2, 2), np.uint8)))
    expected = image_statistics(ArrayImage(pixels), NORMALISATION)
    assert image_statistics(enlarged, NORMALISATION, 0.5) == pytest.approx(expected, rel=1e-3)
    assert image_statistics(enlarged, NORMALISATION)["grain"] < 0.8 * expected["grain"]


def test_large_images_are_sampled() -> None:
    pixels = np.tile(texture((512, 512)), (3, 4))
    found = image_statistics(ArrayImage(pixels), NORMALISATION)
    assert found == pytest.approx(
        image_statistics(ArrayImage(pixels[:512, :512]), NORMALISATION), rel=0.1
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (17, 16)])
def test_small_images(size: tuple[int, int]) -> None:
    pixels = np.arange(size[0] * size[1]).reshape(size)
    assert all(
        np.isfinite(each) for each in image_statistics(ArrayImage(pixels), NORMALISATION).values()
    )


def test_block_means_by_hand() -> None:
    image = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    np.testing.assert_array_equal(block_means(image, 2), [[[2.5, 4.5]]])


@pytest.mark.parametrize(("value", "odd"), [(1.0, []), (2.0, []), (0.75, []), (0.7, ["a"]),
                                            (2.3, ["a"])])  # fmt: skip
def test_strange_is_outside_the_widened_range(value: float, odd: list[str]) -> None:
    known = ranges([{"a": 1.0}, {"a": 2.0}, {"a": 1.5}])
    assert known == {"a": (1.0, 2.0)}
    assert outside_ranges({"a": value}, known, 0.25) == odd


def test_without_known_ranges_nothing_is_outside() -> None:
    assert ranges([]) == {}
    assert outside_ranges({"a": 1.0}, {}) == []
