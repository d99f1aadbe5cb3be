"""A detector from its model file to the cells: the command line, Python, and training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

import bigkingxxl as bk
from bigkingxxl.cli import main
from bigkingxxl.errors import ImageError
from bigkingxxl.inference.load_model import model_predictor
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.methods.registry import METHODS
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.model_files import load_model
from tests import small_detector
from tests.refusals import numbers_of, refused, refused_by

TYPES = ("astro", "cort")
SIZE = (150, 210)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return spots(tmp_path, monkeypatch, tile=160)


def spots(folder: Path, monkeypatch: pytest.MonkeyPatch, tile: int) -> Path:
    """A detector that finds at most 40 cells in a tile."""
    monkeypatch.setitem(METHODS, "spots", small_detector.PLACE)
    prediction = PredictionSettings(scale=2.0, tile=tile, overlap=48)
    return small_detector.save_spots(
        folder / "spots.safetensors", TYPES, detections=40, prediction=prediction
    )


def truth() -> NDArray[np.int32]:
    """int32[H, W]: rectangles, and one bar across all windows."""
    labels = np.zeros(SIZE, np.int32)
    for number, (row, col) in enumerate(np.ndindex(6, 9), 1):
        labels[22 * row + 24 : 22 * row + 36, 23 * col + 5 : 23 * col + 19] = number
    labels[8:16, 4:206] = labels.max() + 1
    return labels


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "field.png"
    Image.fromarray(np.where(truth() > 0, 220, 30).astype(np.uint8)).save(path)
    return path


def predict(image: Path, model: Path, out: Path, *options: str) -> Result:
    command = ["predict", str(image), "--model", str(model), "--out", str(out), *options]
    return CliRunner().invoke(main.app, command)


def cells_of(labels: NDArray[Any]) -> set[bytes]:
    return {(labels == label).tobytes() for label in np.unique(labels[labels > 0])}


@pytest.mark.parametrize("options", [(), ("--tta", "flips,turns,scales"), ("--scale", "1")])
def test_predict_finds_each_cell_once(
    image: Path, model: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = predict(image, model, tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    found = read_label_image(tmp_path / "out" / "labels" / "field.tif")
    assert numbers_of(result.stdout.splitlines()[-1].rpartition(":")[2])[:2] == [truth().max(), 1]
    assert cells_of(found) == cells_of(truth())


def test_the_limit_is_reported_once(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = spots(tmp_path, monkeypatch, tile=500)
    assert predict(image, model, tmp_path / "out").exit_code == 0
    limits = [text for text in caplog.messages if "detection limit" in text]
    assert len(limits) == 1
    assert limits[0].startswith("field: more cells than the detection limit: 40")


def test_load_and_predict_in_python(image: Path, model: Path) -> None:
    cells = bk.load(model, device="cpu").predict(image)
    assert cells_of(cells.label_map()) == cells_of(truth())
    names = cells.instances.type_names
    assert {names[kind] for kind in cells.instances.cell_type} == {"cort"}
    assert cells.instances.score == pytest.approx(0.9)


def test_training_validates_with_the_same_predictor(image: Path, model: Path) -> None:
    source = bk.load(model, device="cpu").predict(image).source
    found = model_predictor(load_model(model)).candidates(source)
    assert len(found) == truth().max()


def test_an_image_of_other_channels_is_refused(model: Path) -> None:
    with refused(ImageError, key="channels", found=2):
        bk.load(model, device="cpu").predict(np.random.default_rng(0).random((2, 20, 20)))


def test_an_unknown_method_is_one_sentence(
    image: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(METHODS, "spots")
    refused_by(predict(image, model, tmp_path / "out"), found="spots")
