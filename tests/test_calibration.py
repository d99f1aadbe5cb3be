"""The expected IoU of candidates: its features, its fit, and its use."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from bigkingxxl.calibration import Calibration, Layer, features
from bigkingxxl.candidates import Candidates
from bigkingxxl.cli import main
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.synthesize import Recipe, synthesize
from bigkingxxl.errors import SettingsError
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.instances import Instances
from bigkingxxl.model_files import read_card, resolve_model, write_card
from bigkingxxl.settings import checked
from bigkingxxl.training.calibrate import Compared, fit
from tests.refusals import refused, refused_by

TYPES = ("astro", "cort")


def two_cells() -> Candidates:
    """A square of 4 pixels with a high score and a faint rim, and a row of 3 with a low score."""
    square = np.array([[255, 255, 60], [255, 255, 60]], np.uint8)
    row = np.array([[102, 102, 102]], np.uint8)
    types = np.array([[1.0, 0.0], [0.25, 0.75]])
    boxes = [[0, 0, 2, 3], [5, 5, 6, 8]]
    return Candidates.from_crops((9, 9), np.array(boxes), [square, row], np.array([0.5, 0.2]),
                                 types, TYPES)  # fmt: skip


def constant(value: float, type_names: tuple[str, ...]) -> Calibration:
    width = 3 + len(type_names)
    layer = Layer(weights=((0.0,) * width,), bias=(value,))
    return Calibration(
        type_names=type_names, centre=(0.0,) * width, spread=(1.0,) * width, layers=(layer,)
    )


def test_features_of_two_cells() -> None:
    values = features(replace(two_cells(), scale_ratio=2.0), ("cort", "shsy5y", "astro"))
    np.testing.assert_allclose(values[0], [1, 0.5, np.log(16), 0, 0, 1])
    np.testing.assert_allclose(values[1], [0.4, 0.5, np.log(12), 0.75, 0, 0.25], rtol=1e-6)
    assert features(Candidates.empty((4, 4)), TYPES).shape == (0, 5)


def test_the_network_is_that_of_torch() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1))
    first, last = network[0], network[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    last.bias.data += 0.5
    centre, spread = (0.1, 0.2, 0.3, 0.4, 0.5), (1.0, 2.0, 0.5, 1.0, 1.0)
    layers = [
        Layer(weights=layer.weight.tolist(), bias=layer.bias.tolist()) for layer in (first, last)
    ]
    own = Calibration(type_names=TYPES, centre=centre, spread=spread, layers=tuple(layers))
    values = np.random.default_rng(0).normal(size=(50, 5))
    inputs = torch.from_numpy((values - centre) / np.array(spread)).float().clamp(-4, 4)
    expected = network(inputs)[:, 0].detach().clamp(0, 1).numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(own.expected_iou(values), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"centre": (0.0,)}, ""),
        ({"type_names": ("astro",)}, ""),
        ({"spread": (1.0, 1.0, 0.0, 1.0, 1.0)}, "spread.2"),
        ({"centre": (0.0, 0.0, float("nan"), 0.0, 0.0)}, "centre.2"),
        ({"layers": ({"weights": ((0.0,) * 4,), "bias": (0.0,)},)}, ""),
        ({"layers": ({"weights": ((0.0,) * 5,) * 2, "bias": (0.0, 0.0)},)}, ""),
        ({"layers": ()}, "layers"),
    ],
)
def test_mismatched_values_are_refused(change: dict[str, object], key: str) -> None:
    with refused(SettingsError, key=key):
        checked(Calibration, {**constant(0.5, TYPES).model_dump(), **change})


def test_the_best_true_cell_counts() -> None:
    truth = Instances.from_label_map(np.pad(np.ones((2, 2), np.int32), ((0, 7), (0, 7))))
    np.testing.assert_allclose(Compared.of(two_cells(), truth).iou, [1, 0])


def test_a_duplicate_counts_as_wrong() -> None:
    whole, three, outside = np.full((2, 2), 255, np.uint8), np.array([[255, 255], [255, 0]]), (5, 5)
    boxes = [[0, 0, 2, 2], [0, 0, 2, 2], [*outside, 7, 7]]
    crops = [whole, three.astype(np.uint8), whole]
    truth = Instances.from_label_map(np.pad(np.ones((2, 2), np.int32), ((0, 7), (0, 7))))
    for scores, expected in (((0.9, 0.6, 0.8), (1, 0, 0)), ((0.6, 0.9, 0.8), (0, 0.75, 0))):
        found = Candidates.from_crops((9, 9), np.array(boxes), crops, np.array(scores))
        np.testing.assert_allclose(Compared.of(found, truth).iou, expected)


def test_calibration_uses_more_than_the_score() -> None:
    """The fit depends on the cell type; the method's score is the same for all."""
    draws = np.random.default_rng(1)
    image = replace(two_cells(), score=np.array([0.4, 0.4], np.float32))
    many = [image.take(draws.integers(0, 2, 100)) for _ in range(6)]
    found = [
        Compared(each, Instances.empty((9, 9)), np.where(each.heights == 2, 0.8, 0.3))
        for each in many
    ]
    learned = fit(found, TYPES)
    np.testing.assert_allclose(learned.scored(image).score, [0.8, 0.3], atol=0.02)
    assert fit(found, TYPES) == learned
    assert fit(found, TYPES, seed=1) != learned


@pytest.mark.parametrize("name", ["open", "bundled"])
def test_prediction_uses_the_calibrated_score(
    name: str, tmp_path: Path, simulated: Dataset
) -> None:
    path = tmp_path / "model.onnx"
    card = read_card(resolve_model(name))
    calibration = constant(0.625, card.type_names).model_dump()
    write_card(resolve_model(name), card.changed(calibration=calibration), path)
    predictor, _ = load_predictor(path)
    found = predictor.candidates(simulated.source(simulated.ids[0]))
    assert len(found) > 5
    assert set(found.score.tolist()) == {0.625}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("simulated")
    synthesize(folder, Recipe(12, 5, ("cort", "astro", "shsy5y"), (520, 704)), workers=1)
    return open_dataset(folder)


def test_command(simulated: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "calibrated.onnx"
    arguments = ["calibrate", "open", "--data", str(simulated.root), "--quiet", "--json"]
    result = CliRunner().invoke(main.app, [*arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    card = read_card(out)
    assert card.calibration is not None
    assert card.operating_points.default.decode == {"flow_error": 1.0}
    threshold = card.operating_points.default.select.score_threshold
    assert threshold == told["score_threshold"]
    assert told["images"] == 12
    assert told["correlation_after"] > told["correlation_before"]


def test_too_few_cells(simulated: Dataset, tmp_path: Path) -> None:
    arguments = ["calibrate", "open", "--data", str(simulated.root), "--images", "1"]
    out = tmp_path / "calibrated.onnx"
    result = CliRunner().invoke(main.app, [*arguments, "--quiet", "--out", str(out)])
    assert result.exit_code == 2
    assert not out.exists()
    refused_by(result, expected=500)
