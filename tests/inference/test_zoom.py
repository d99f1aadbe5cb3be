"""Types predicted at another zoom: the second prediction, and when there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bigkingxxl.decoding.flows import Flows
from bigkingxxl.errors import SettingsError
from bigkingxxl.evaluation.prediction_cache import MapCache
from bigkingxxl.images import ArrayImage, Normalisation
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.size.scale_ratio import TrainingImages
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.settings import checked
from tests.refusals import refused

TYPES = ("small", "large")
POINTS = OperatingPoints.model_validate({"by_type": {"large": {"decode": {"zoom": 0.5}}}})


class Network:
    """Predicts foreground of one type everywhere, and records the sizes of its tiles."""

    def __init__(self, kind: str) -> None:
        self.kind = TYPES.index(kind)
        self.sides: list[int] = []

    def __call__(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sides.append(tiles.shape[2])
        maps = np.zeros((len(tiles), 5, *tiles.shape[2:]), np.float32)
        maps[:, 0] = 0.9
        maps[:, 3 + self.kind] = 1
        return maps


def predictor(network: Network, **options: Any) -> DensePredictor:
    settings = PredictionSettings(scale=2, tile=1024, overlap=0)
    return DensePredictor(network, Flows(TYPES), normalisation=Normalisation(), settings=settings,
                          points=POINTS, training=TrainingImages(median_diameter=10),
                          **options)  # fmt: skip


def image() -> ArrayImage:
    return ArrayImage(np.random.default_rng(0).random((300, 300)).astype(np.float32))


@pytest.mark.parametrize(("kind", "sides"), [("small", [600]), ("large", [600, 300])])
def test_a_type_with_a_zoom_is_predicted_once_more(kind: str, sides: list[int]) -> None:
    network = Network(kind)
    found = predictor(network).candidates(image())
    assert network.sides == sides
    assert found.size == (300, 300)


def test_a_known_type_is_predicted_once() -> None:
    network = Network("small")
    predictor(network, cell_type="large").candidates(image())
    assert network.sides == [300]


def test_a_given_size_is_not_zoomed() -> None:
    network = Network("large")
    predictor(network, scale=1.5).candidates(image())
    source = image()
    source.cell_diameter = 10
    predictor(network).candidates(source)
    assert set(network.sides) == {450, 600}


def test_tuning_keeps_the_maps_of_every_zoom(tmp_path: Path) -> None:
    network = Network("large")
    seen = MapCache(predictor(network), lambda name: image(), tmp_path)
    for zoom in (1.0, 0.5, 0.5, 1.0):
        assert seen.decode("a", {"zoom": zoom}).size == (300, 300)
    assert network.sides == [600, 300]
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", "a-zoom0.5.npy"}


@pytest.mark.parametrize("zoom", [0, -1, "much"])
def test_a_zoom_is_a_number_above_0(zoom: Any) -> None:
    with refused(SettingsError, key="default.decode"):
        checked(OperatingPoints, {"default": {"decode": {"zoom": zoom}}}, where="points")
