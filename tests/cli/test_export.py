from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bigkingxxl.cli import main
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compact network with random weights."""
    method = make_method("compact", {"representation": "flows", "widths": (16,) * 4}, ("a",))
    card = ModelCard(method="compact", settings=method.settings.model_dump(), type_names=("a",),
                     prediction=PredictionSettings(tile=64, overlap=16))  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, card, method.build().state_dict())
    return path


def test_integers_are_fitted_to_images_of_several_folders(model: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(0).integers(0, 255, (64, 80), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    out = tmp_path / "model.onnx"
    result = CliRunner().invoke(main.app, [
        "export", str(model), "--out", str(out), "--half", "--json",
        "--int8", str(tmp_path / "first"), "--int8", str(tmp_path / "second"),
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["bytes"] == out.stat().st_size
    assert answer["int8"]["convolutions"] == 8
    assert 0 < answer["int8"]["difference"] < 0.02


@pytest.mark.parametrize("to", ["onnx", "cellpose"])
def test_nothing_is_written_if_int8_is_impossible(model: Path, tmp_path: Path, to: str) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "model.onnx"
    result = CliRunner().invoke(
        main.app,
        ["export", str(model), "--out", str(out), "--to", to, "--int8", str(tmp_path / "empty")],
    )
    assert result.exit_code == 2
    assert "--int8" in result.stderr or "empty" in result.stderr
    assert "Traceback" not in result.stderr
    assert not out.exists()
