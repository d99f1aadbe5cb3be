"""The size estimate with a network that only detects discs of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from bigkingxxl.decoding.base import Float32
from bigkingxxl.decoding.components import Components
from bigkingxxl.images import ArrayImage, Normalisation
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.detector_predictor import DetectorPredictor
from bigkingxxl.inference.size.scale_ratio import TrainingImages
from bigkingxxl.inference.size.size_estimate import LADDER, median_diameter, sizes_in_question
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.operating_points import OperatingPoints

KNOWN = 16.0  # diameter of the discs it detects, in its pixels
TRAINING = TrainingImages(median_diameter=KNOWN, diameters={"cell": (14.0, 18.0)})


class DiscNetwork:
    """Detects bright objects that are between 10 and 24 pixels wide, and counts its passes."""

    def __init__(self) -> None:
        self.pixels = 0

    def __call__(self, tiles: Float32) -> Float32:
        self.pixels += tiles.shape[2] * tiles.shape[3] * len(tiles)
        bright = (tiles[:, 0] > 0.5).astype(np.uint8)
        wide, large = (ndimage.grey_opening(bright, (1, side, side)) for side in (10, 20))
        grown = ndimage.maximum_filter(large, (1, 9, 9))
        return np.where((wide > 0) & (grown == 0), 0.9, 0.01)[:, None].astype(np.float32)


def discs(diameter: float, size: tuple[int, int] = (400, 480), name: str = "discs") -> ArrayImage:
    """Bright discs on a dim background, three diameters apart."""
    spacing = 3 * diameter
    row, col = np.mgrid[: size[0], : size[1]].astype(np.float64)
    away = np.hypot(row % spacing - spacing / 2, col % spacing - spacing / 2)
    return ArrayImage(np.where(away < diameter / 2, 100, 10).astype(np.float32), name)


def predictor(network: Any, training: TrainingImages = TRAINING, **options: Any) -> DensePredictor:
    settings = {"tile": 256, "overlap": 64, "scale": 1.0, **options.pop("settings", {})}
    return DensePredictor(
        network,
        Components(("cell",)),
        normalisation=Normalisation(),
        settings=PredictionSettings.model_validate(settings),
        points=OperatingPoints(),
        training=training,
        estimate=True,
        **options,
    )


@pytest.mark.parametrize("diameter", [15.0, 17.0])
def test_an_image_of_the_training_size_costs_nothing_extra(diameter: float) -> None:
    network, other = DiscNetwork(), DiscNetwork()
    found = predictor(network).candidates(discs(diameter))
    plain = predictor(other)
    plain.estimate = False
    plain.candidates(discs(diameter))
    assert found.scale_ratio == 1
    assert len(found) > 20
    assert network.pixels == other.pixels


@pytest.mark.parametrize("diameter", [6.0, 8.0, 32.0, 60.0])
def test_other_sizes_are_found(diameter: float) -> None:
    image = discs(diameter)
    found = predictor(DiscNetwork()).candidates(image)
    assert 10 <= diameter * found.scale_ratio <= 24  # what the network can detect
    expected = ndimage.label(image.pixels[0] > 50)[1]
    assert 0.6 * expected <= len(found) <= expected
    assert median_diameter(found)[0] == pytest.approx(diameter * found.scale_ratio, rel=0.25)
    assert found.size == image.shape


@pytest.mark.parametrize("diameter", [8.0, 32.0])
def test_the_estimate_does_not_depend_on_tiles_and_blocks(diameter: float) -> None:
    sizes = {
        predictor(DiscNetwork(), settings={"tile": tile}, block_pixels=pixels)
        .candidates(discs(diameter))
        .scale_ratio
        for tile, pixels in ((128, 2**24), (512, 2**24), (256, 256**2))
    }
    assert len(sizes) == 1
    assert sizes != {1.0}


def test_an_empty_image_keeps_its_scale() -> None:
    noise = np.random.default_rng(0).normal(100, 1, (200, 240)).astype(np.float32)
    found = predictor(DiscNetwork()).candidates(ArrayImage(noise))
    assert (len(found), found.scale_ratio) == (0, 1)


def test_a_known_size_is_not_estimated() -> None:
    image = discs(32.0)
    image.cell_diameter = 32.0
    network = DiscNetwork()
    found = predictor(network).candidates(image)
    assert found.scale_ratio == pytest.approx(0.5)
    assert network.pixels == 256**2  # one tile of half the image
    assert predictor(DiscNetwork(), scale=0.6).candidates(discs(32.0)).scale_ratio == 0.6


def test_a_detector_judges_sizes_as_well() -> None:
    network, decoder = DiscNetwork(), Components(("cell",))
    found = DetectorPredictor(
        lambda tiles: [decoder.decode(maps) for maps in network(tiles)],
        type_names=("cell",), normalisation=Normalisation(), training=TRAINING, estimate=True,
        settings=PredictionSettings(tile=512),
    ).candidates(discs(32.0))  # fmt: skip
    assert 0.3 < found.scale_ratio < 0.75
    assert median_diameter(found)[0] == pytest.approx(32 * found.scale_ratio, rel=0.25)


def test_a_model_that_knows_no_diameters_estimates_nothing() -> None:
    training = TrainingImages(median_diameter=KNOWN)
    assert predictor(DiscNetwork(), training).candidates(discs(32.0)).scale_ratio == 1


def test_a_coarse_image_is_never_enlarged() -> None:
    known = TrainingImages(image_statistics={"coarse": (0.1, 0.2), "fine": (0.8, 0.9)})
    assert max(sizes_in_question({"coarse": 0.21, "fine": 0.85}, known)) < 1
    assert max(sizes_in_question({"coarse": 0.15, "fine": 0.79}, known)) < 1
    assert sizes_in_question({"coarse": 0.19, "fine": 0.95}, known) == LADDER
    assert sizes_in_question({"coarse": 0.9, "fine": 0.1}, TrainingImages()) == LADDER
