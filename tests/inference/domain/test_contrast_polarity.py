"""Images of inverted contrast are turned back if the training data define the polarity."""

from __future__ import annotations

import numpy as np
import pytest

from bigkingxxl.decoding.base import Float32
from bigkingxxl.decoding.components import Components
from bigkingxxl.geometry import Window
from bigkingxxl.images import ArrayImage, Normalisation
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.domain.contrast_polarity import Negative, may_be_inverted
from bigkingxxl.inference.size.scale_ratio import TrainingImages
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.operating_points import OperatingPoints

BRIGHT_CELLS = TrainingImages(image_statistics={"skewness": (1.0, 8.0)})
DARK_CELLS = TrainingImages(image_statistics={"skewness": (-8.0, -1.0)})


def picture(cells: float = 200.0) -> ArrayImage:
    """Twelve discs on a noisy grey of 100."""
    pixels = np.random.default_rng(0).normal(100, 2, (150, 200))
    row, col = np.mgrid[:150, :200]
    inside = np.hypot(row % 50 - 25, col % 50 - 25) < 7
    return ArrayImage(np.where(inside, cells, pixels).astype(np.float32), "picture", (0.5, 0.5))


class Network:
    """Detects what is brighter (or, if `sign` is -1, darker) than the rest; counts its passes."""

    def __init__(self, sign: int = 1) -> None:
        self.sign, self.passes = sign, 0

    def __call__(self, tiles: Float32) -> Float32:
        self.passes += 1
        return (1 / (1 + np.exp(6 - 6 * self.sign * tiles[:, :1]))).astype(np.float32)


def predictor(network: Network, training: TrainingImages, estimate: bool = True) -> DensePredictor:
    return DensePredictor(
        network, Components(("cell",)), normalisation=Normalisation(),
        settings=PredictionSettings(tile=256, overlap=32), points=OperatingPoints(),
        training=training, estimate=estimate,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sign", "training", "cells"),
    [(1, BRIGHT_CELLS, 0.0), (-1, DARK_CELLS, 200.0)],
)
def test_a_negative_shows_the_cells_of_the_original(
    sign: int, training: TrainingImages, cells: float
) -> None:
    inverted = picture(cells)
    original = ArrayImage(200 - inverted.pixels)
    expected = predictor(Network(sign), training).candidates(original)
    found = predictor(Network(sign), training).candidates(inverted)
    assert len(found) == len(expected) == 12
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert len(predictor(Network(sign), training, estimate=False).candidates(inverted)) == 0


def test_an_image_like_the_training_images_costs_nothing_extra() -> None:
    network = Network()
    assert len(predictor(network, BRIGHT_CELLS).candidates(picture())) == 12
    assert network.passes == 1


def test_the_network_has_the_last_word() -> None:
    # Skewed like a negative, but this network is trained on dark cells.
    network = Network(-1)
    assert len(predictor(network, BRIGHT_CELLS).candidates(picture(0.0))) == 12
    assert network.passes == 3


def test_a_negative_is_read_by_window_with_its_metadata() -> None:
    image = picture()
    image.cell_diameter = 14.0
    negative = Negative(image)
    window = Window(3, 4, 20, 50)
    np.testing.assert_array_equal(negative.read(window), -image.read(window))
    assert (negative.name, negative.shape, negative.channels) == ("picture", (150, 200), 1)
    assert (negative.pixel_size_um, negative.cell_diameter) == ((0.5, 0.5), 14.0)


@pytest.mark.parametrize(
    ("skewness", "known", "doubtful"),
    [
        (0.5, (-4.0, 0.1), True), (-0.5, (-4.0, 0.1), False), (9.0, (-4.0, 0.1), True),
        (-9.0, (-4.0, 0.1), False), (2.0, (-1.0, 1.0), False), (0.5, None, False),
    ],
)  # fmt: skip
def test_skewness_selects_doubtful_images(
    skewness: float, known: tuple[float, float] | None, doubtful: bool
) -> None:
    ranges = {} if known is None else {"skewness": known}
    assert may_be_inverted({"skewness": skewness}, ranges) == doubtful
