"""A model file as a predictor: the network's own maps, the card's settings, the device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.evaluation.prediction_cache import CandidateCache, maps_folder, prediction_cache
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.detector_predictor import DetectorPredictor
from bigkingxxl.inference.load_model import choose_device, load_predictor
from bigkingxxl.methods.registry import METHODS
from bigkingxxl.model_bytes import onnx_with
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.model_files import METADATA_KEY, load_model, read_card, save_model
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints
from tests import small_detector
from tests.refusals import refused
from tests.small_models import small_card, small_weights
from tests.tiny_onnx import save_tiny_onnx

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
    # The predictor computes in bfloat16, which has three digits.
    np.testing.assert_allclose(found, maps[0].numpy(), atol=0.03)


@pytest.mark.parametrize(
    ("overrides", "scale", "tile"),
    [({}, 0.75, 96), ({"scale": 2.0}, 2.0, 96),
     ({"settings": PredictionSettings(scale=1.0, tile=40)}, 0.5, 48)],
)  # fmt: skip
def test_the_card_provides_the_defaults(
    model: Path, overrides: dict[str, Any], scale: float, tile: int
) -> None:
    predictor, card = load_predictor(model, **overrides)
    assert isinstance(predictor, DensePredictor)
    image = ArrayImage(np.zeros((10, 10)), pixel_size_um=(1.0, 1.0))
    relative = predictor.scale_ratio(image)
    assert predictor.settings.scale * relative == pytest.approx(scale)
    assert predictor.tile == tile  # a multiple of UNETR's patches
    assert predictor.points == card.operating_points


@pytest.fixture
def spots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(METHODS, "spots", small_detector.PLACE)
    prediction = PredictionSettings(scale=2.0, tile=100, overlap=20, tta=("mirror",))
    return small_detector.save_spots(
        tmp_path / "spots.safetensors", NAMES, detections=7, prediction=prediction,
        pixel_size_um=(2.0, 2.0), median_diameter=9.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "scale", "tile"),
    [({}, 1.0, 104), ({"scale": 3.0}, 3.0, 104),
     ({"settings": PredictionSettings(scale=1.0, tile=40)}, 0.5, 40)],
)  # fmt: skip
def test_a_method_without_maps_is_a_detector(
    spots: Path, overrides: dict[str, Any], scale: float, tile: int
) -> None:
    predictor, card = load_predictor(spots, "cpu", **overrides)
    assert isinstance(predictor, DetectorPredictor)
    image = ArrayImage(np.zeros((10, 10)), pixel_size_um=(1.0, 1.0))
    assert predictor.settings.scale * predictor.scale_ratio(image) == pytest.approx(scale)
    assert (predictor.tile, predictor.stride) == (tile, 8)
    assert (predictor.limit, predictor.type_names, predictor.estimate) == (7, NAMES, True)
    assert (predictor.image_channels, predictor.training.median_diameter) == (1, 9.0)
    assert card.method == "spots"


def test_an_exported_detector_explains_the_alternative(spots: Path, tmp_path: Path) -> None:
    path = save_tiny_onnx(tmp_path / "spots.onnx", card=read_card(spots))
    with refused(InputError, file=path, key="method", found="spots"):
        load_predictor(path)


def test_each_prediction_setting_has_its_own_cache(model: Path, spots: Path) -> None:
    folders = set()
    looks = [{"scale": 1.0}, {"settings": PredictionSettings(tta=("flips",))},
             {"settings": PredictionSettings(tile=64)},
             {"settings": PredictionSettings(overlap=5)}]  # fmt: skip
    for path, estimate in ((model, True), (spots, True), (spots, False)):
        for overrides in ({}, *looks):
            predictor, _ = load_predictor(path, **overrides)  # type: ignore[arg-type]
            predictor.estimate = estimate
            folders.add(maps_folder(Path("kept"), path.stem, predictor))
    assert len(folders) == 15
    assert isinstance(prediction_cache(predictor, image_of, Path("x")), CandidateCache)


def test_candidates_of_a_detector_are_cached(spots: Path, tmp_path: Path) -> None:
    predictor, _ = load_predictor(spots)
    seen = prediction_cache(predictor, image_of, tmp_path / "kept")
    first = seen.decode("a", {})
    assert len(first) == 1
    predictor.detect = None  # type: ignore[attr-defined]
    again = prediction_cache(predictor, image_of, tmp_path / "kept").decode("a", {})
    assert (again.boxes.tolist(), seen.voted_type("a")) == (first.boxes.tolist(), None)


def image_of(name: str) -> ArrayImage:
    pixels = np.full((40, 50), 30, np.uint8)
    pixels[10:20, 12:25] = 200
    return ArrayImage(pixels, name)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with refused(InputError, key="device", found="cuda"):
        choose_device("cuda")
    with refused(InputError, key="device", found="gpu", expected=("auto", "cpu", "cuda", "mps")):
        choose_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type_names": ["a", "b"]}, {"key": "output maps", "expected": 5, "found": 3}),
        ({"image_channels": 3}, {"key": "image channels", "expected": 3, "found": 1}),
        ({"type_names": ["a", "a"]}, {}), ({"median_diameter": 1e-6}, {}),
        ({"operating_points": {"default": {"decode": {"flow_error": -1}}}}, {}),
    ],
)  # fmt: skip
def test_metadata_that_do_not_fit_the_network_are_refused(
    tmp_path: Path, changes: dict[str, Any], field: dict[str, Any]
) -> None:
    path = save_tiny_onnx(tmp_path / "tiny.onnx")
    card = json.loads(read_card(path).model_dump_json()) | changes
    path.write_bytes(onnx_with(path.read_bytes(), METADATA_KEY, json.dumps(card)))
    with refused(ModelError, file=path, **field):
        load_predictor(path)
