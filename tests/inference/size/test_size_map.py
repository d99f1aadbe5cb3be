"""The cell size read from a network's map of sizes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.decoding.base import SIZE_UNIT
from bigkingxxl.decoding.flows import Flows, FlowsSettings
from bigkingxxl.geometry import Window, disc_diameter, resize, scaled_size, whole
from bigkingxxl.images import ArrayImage, ImageSource, Normalisation
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.size.scale_ratio import TrainingImages
from bigkingxxl.inference.size.size_map import SIDE, sampled_windows, sizes_of_cells
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.operating_points import OperatingPoints

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
    """The maps of a network that reads every disc's size from its area in a window."""
    pixels = resize(source.read(window), scaled_size(window.size, scale))[0]
    inside = pixels > 100
    labels, count = ndimage.label(inside)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    sizes = np.log2(disc_diameter(areas) / SIZE_UNIT)[labels]
    return np.stack((inside, np.where(inside, sizes, 0))).astype(np.float32)


def diameter_of(source: ImageSource) -> float | None:
    found = sizes_of_cells(maps_of_discs, source, Normalisation(), [1], SIZE_UNIT)
    return None if found is None else found[0]


def predictor(median_diameter: float = 20.0) -> DensePredictor:
    """A network with foreground, and with each cell's diameter and half of it as its width."""

    def maps(tiles: Float32) -> Float32:
        made = []
        for tile in tiles:
            seen = maps_of_discs(ArrayImage(100 * tile[0]), whole(tile.shape[1:]), 1.0)
            flows = np.zeros((2, *tile.shape[1:]), np.float32)
            made.append(np.stack((seen[0], *flows, seen[1], seen[1] - seen[0])))
        return np.stack(made)

    settings = FlowsSettings(size=True, width=True)
    return DensePredictor(
        maps, Flows(("cell",), settings), points=OperatingPoints(), estimate=True,
        normalisation=Normalisation(low=0.0, high=100.0, zero="low"),
        settings=PredictionSettings(scale=1.5, tile=512, overlap=32),
        training=TrainingImages(median_diameter=median_diameter),
    )  # fmt: skip


@pytest.mark.parametrize("diameter", [8.0, 16.0, 41.0, 90.0])
def test_the_diameter_is_that_of_the_cells(diameter: float) -> None:
    source = ArrayImage(discs(diameter))
    found = diameter_of(source)
    assert found == pytest.approx(diameter, rel=0.15)


def test_every_cell_has_the_same_weight() -> None:
    """One huge cell does not outweigh many small ones."""
    image = discs(16.0)
    rows, cols = np.mgrid[:520, :704]
    image[(rows - 150) ** 2 + (cols - 150) ** 2 < 110**2] = 200
    found = diameter_of(ArrayImage(image))
    assert found == pytest.approx(16.0, rel=0.2)


def test_an_image_without_cells_has_no_size() -> None:
    image = np.zeros((100, 100), np.uint8)
    image[0, 0] = 1
    found = diameter_of(ArrayImage(image))
    assert found is None


@pytest.mark.parametrize("size", [(520, 704), (3000, 200), (64, 64), (5000, 5000)])
def test_the_network_input_is_small_for_any_image(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    source = ArrayImage(rng.integers(0, 255, size, np.uint8))
    seen = list(sampled_windows(source, Normalisation()))
    for window, scale in seen:
        height, width = scaled_size(window.size, scale)
        assert height * width <= 1.1 * SIDE**2
        assert window == window.clipped(source.shape)
    assert len(seen) <= (8 if size != (5000, 5000) else 4 * 8)
    assert len(seen) == len(set(seen))


def test_the_width_determines_the_scale() -> None:
    seen = predictor()
    measured = seen.measured_size(ArrayImage(discs(30.0)))
    assert measured is not None
    assert measured.diameter == pytest.approx(30, rel=0.15)
    assert measured.width == pytest.approx(measured.diameter / 2, rel=0.05)
    found = seen.candidates(ArrayImage(discs(30.0)))
    assert found.scale_ratio == pytest.approx(20 / measured.width, rel=0.01)
    # The reported diameter has its usual meaning.
    assert found.cell_diameter == pytest.approx(measured.diameter)


def test_a_correct_diameter_keeps_the_scale_and_half_of_it_doubles() -> None:
    seen, source = predictor(), ArrayImage(discs(30.0))
    measured = seen.measured_size(source)
    assert measured is not None
    before = seen.candidates(source).scale_ratio
    source.cell_diameter = measured.diameter
    assert seen.candidates(source).scale_ratio == pytest.approx(before)
    source.cell_diameter = measured.diameter / 2
    found = seen.candidates(source)
    assert found.scale_ratio == pytest.approx(2 * before)
    assert found.cell_diameter == source.cell_diameter
