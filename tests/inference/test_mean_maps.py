"""Dense models averaged before decoding, with maps functions whose maps are known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bigkingxxl.decoding.base import Float32
from bigkingxxl.decoding.components import Components
from bigkingxxl.decoding.flows import Flows
from bigkingxxl.images import ArrayImage, Normalisation
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.ensemble import Member
from bigkingxxl.inference.load_ensemble import averaged
from bigkingxxl.inference.mean_maps import MeanMaps, alike
from bigkingxxl.inference.selection import select
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.operating_points import OperatingPoints


def disc(tiles: Float32, radius: float) -> Float32:
    """A maps function that puts one cell in the middle of every tile, whatever the pixels."""
    height, width = tiles.shape[2:]
    rows, cols = np.mgrid[:height, :width]
    away = np.hypot(rows - (height - 1) / 2, cols - (width - 1) / 2)
    seen = 1 / (1 + np.exp(away - radius * height / 64))
    return np.broadcast_to(seen, (len(tiles), 1, height, width)).astype(np.float32)


def model(radius: float, scale: float = 1.0, names: tuple[str, ...] = ("cell",)) -> DensePredictor:
    settings = PredictionSettings(scale=scale, tile=int(64 * scale), overlap=0)
    return DensePredictor(
        partial(disc, radius=radius), Components(names), points=OperatingPoints(),
        normalisation=Normalisation(), settings=settings,
    )  # fmt: skip


@pytest.fixture
def image() -> ArrayImage:
    return ArrayImage(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0)])
def test_its_maps_are_the_weighted_mean(image: ArrayImage, weights: tuple[float, float]) -> None:
    small, large = model(10), model(20, scale=2.0)
    mean = MeanMaps.of([small, large], weights)
    expected = np.average([small.maps(image), large.maps(image)], axis=0, weights=weights)
    np.testing.assert_allclose(mean.maps(image), expected, atol=1e-6)
    assert mean.type_names == ("cell",)


def test_the_boundary_lies_between_those_of_its_models(image: ArrayImage) -> None:
    models = (model(12), MeanMaps.of([model(12), model(14)], (1, 1)), model(14))
    found = [select(each.candidates(image), OperatingPoints()) for each in models]
    sizes = [int(each.areas()[0]) for each in found]
    # Near the border both are almost straight, so that their mean is cut half way.
    assert sizes[1] == pytest.approx(np.pi * 13**2, rel=0.02)
    assert sizes[0] < sizes[1] < sizes[2]


def test_maps_of_other_sizes_are_resized_to_the_first(image: ArrayImage) -> None:
    coarse, fine = model(10, scale=0.5), model(10)
    assert MeanMaps.of([coarse, fine], (1, 1)).maps(image).shape == (1, 32, 32)
    assert MeanMaps.of([fine, coarse], (1, 1)).maps(image).shape == (1, 64, 64)


def test_only_models_of_the_same_maps_are_averaged() -> None:
    one = model(10)
    assert alike(one, model(12, scale=2.0))
    assert not alike(one, model(10, names=("neuron",)))
    flows = replace(one, representation=Flows(("cell",)))
    assert not alike(one, flows)
    other = replace(one, settings=one.settings.changed(decode_scale=1.5))
    assert not alike(one, other)


def test_together_they_count_as_one_of_them() -> None:
    first, second, other = model(10), model(12), model(10, names=("neuron",))
    members = [Member(first, weight=3), Member(other, weight=1), Member(second, weight=1)]
    found = averaged(members)
    assert [each.weight for each in found] == [2, 1]
    assert found[1] is members[1]
    mean = found[0].predictor
    assert isinstance(mean, MeanMaps)
    assert mean.weights == (3, 1)
