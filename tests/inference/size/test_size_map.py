"""The size of cells read from a map of sizes, of a network that knows what it sees."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.decoding.base import SIZE_UNIT
from bigkingxxl.geometry import Window, disc_diameter, resize, scaled_size
from bigkingxxl.images import ArrayImage, ImageSource, Normalisation
from bigkingxxl.inference.size.size_map import SIDE, diameter_of_cells, looks

Float32 = NDArray[np.float32]


def discs(diameter: float, size: tuple[int, int] = (520, 704)) -> NDArray[np.uint8]:
    """Bright discs on a grid, one and a half diameters apart."""
    rows, cols = np.mgrid[: size[0], : size[1]]
    step = 1.5 * diameter
    row, col = (rows % step) - step / 2, (cols % step) - step / 2
    inside = row**2 + col**2 < (diameter / 2) ** 2
    image: NDArray[np.uint8] = (inside * 200).astype(np.uint8)
    return image


def maps_of_discs(source: ImageSource, window: Window, scale: float) -> Float32:
    """What a network that tells every disc's size by its area would say of a window."""
    pixels = resize(source.read(window), scaled_size(window.size, scale))[0]
    inside = pixels > 100
    labels, count = ndimage.label(inside)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    sizes = np.log2(disc_diameter(areas) / SIZE_UNIT)[labels]
    return np.stack((inside, np.where(inside, sizes, 0))).astype(np.float32)


@pytest.mark.parametrize("diameter", [8.0, 16.0, 41.0, 90.0])
def test_the_diameter_is_that_of_the_cells(diameter: float) -> None:
    source = ArrayImage(discs(diameter))
    found = diameter_of_cells(maps_of_discs, source, Normalisation(), 1, SIZE_UNIT)
    assert found == pytest.approx(diameter, rel=0.15)


def test_every_cell_counts_alike() -> None:
    """One huge cell beside many small ones does not speak for them."""
    image = discs(16.0)
    rows, cols = np.mgrid[:520, :704]
    image[(rows - 150) ** 2 + (cols - 150) ** 2 < 110**2] = 200
    found = diameter_of_cells(maps_of_discs, ArrayImage(image), Normalisation(), 1, SIZE_UNIT)
    assert found == pytest.approx(16.0, rel=0.2)


def test_an_image_without_cells_says_nothing() -> None:
    image = np.zeros((100, 100), np.uint8)
    image[0, 0] = 1
    found = diameter_of_cells(maps_of_discs, ArrayImage(image), Normalisation(), 1, SIZE_UNIT)
    assert found is None


@pytest.mark.parametrize("size", [(520, 704), (3000, 200), (64, 64), (5000, 5000)])
def test_looks_stay_small_whatever_the_image(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    source = ArrayImage(rng.integers(0, 255, size, np.uint8))
    seen = list(looks(source, Normalisation()))
    for window, scale in seen:
        height, width = scaled_size(window.size, scale)
        assert height * width <= 1.1 * SIDE**2
        assert window == window.clipped(source.shape)
    assert len(seen) <= 8
