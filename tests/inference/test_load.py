"""A model file as a predictor: the network's own maps, the card's settings, the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigkingxxl.errors import InputError
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.dense import DensePredictor
from bigkingxxl.inference.load import choose_device, load_predictor
from bigkingxxl.models import PredictionSettings, load_model, save_model
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints
from tests.small_models import small_card, small_weights

NAMES = ("astro", "cort")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    points = OperatingPoints(default=OperatingPoint(decode={"foreground_threshold": 0.4}))
    prediction = PredictionSettings(scale=1.5, tile=96, overlap=0)
    save_model(path, small_card(NAMES, prediction=prediction, operating_points=points,
                                pixel_size_um=(2.0, 2.0)), small_weights(NAMES))  # fmt: skip
    return path


def test_maps_are_the_networks_own(model: Path) -> None:
    image = ArrayImage(np.random.default_rng(0).random((64, 96), np.float32))
    predictor, card = load_predictor(model, "cpu", scale=1.0)
    assert isinstance(predictor, DensePredictor)
    found = predictor.maps(image)
    loaded = load_model(model)
    seen = card.normalisation.apply(image.read(), image.statistics)
    with torch.inference_mode():
        maps = loaded.method.representation.activate(  # type: ignore[attr-defined]
            loaded.network(torch.from_numpy(seen)[None])
        )
    # The predictor computes in bfloat16: three digits.
    np.testing.assert_allclose(found, maps[0].numpy(), atol=0.03)


@pytest.mark.parametrize(
    ("overrides", "scale", "tile"),
    [({}, 0.75, 96), ({"scale": 2.0}, 2.0, 96),
     ({"settings": PredictionSettings(scale=1.0, tile=40)}, 0.5, 48)],
)  # fmt: skip
def test_the_card_decides_unless_told_otherwise(
    model: Path, overrides: dict[str, Any], scale: float, tile: int
) -> None:
    predictor, card = load_predictor(model, **overrides)
    assert isinstance(predictor, DensePredictor)
    image = ArrayImage(np.zeros((10, 10)), pixel_size_um=(1.0, 1.0))
    relative = predictor.relative_size(image)
    assert predictor.settings.scale * relative == pytest.approx(scale)
    assert predictor.tile == tile  # a multiple of UNETR's patches
    assert predictor.points == card.operating_points


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(InputError, match="'cuda' is not available"):
        choose_device("cuda")
    with pytest.raises(InputError, match="no device 'gpu': choose auto, cpu, cuda or mps"):
        choose_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"
