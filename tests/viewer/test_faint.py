"""A cell too faint to be stored is offered after a second prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.runs.reader import open_run
from tests.tiny_onnx import SIZE, blobs, save_tiny_onnx
from tests.viewer.window import Server


def test_a_faint_cell_is_offered_and_nothing_is_added_to_the_run(tmp_path: Path) -> None:
    row, col = np.indices(SIZE)
    faint = 40 * np.exp(-((row - 74) ** 2 + (col - 105) ** 2) / (2 * 4.0**2))
    (tmp_path / "images").mkdir()
    Image.fromarray((blobs(8) + faint).clip(0, 255).astype(np.uint8)).save(
        tmp_path / "images" / "a.png"
    )
    model = save_tiny_onnx(tmp_path / "tiny.onnx")
    run = tmp_path / "run"
    result = CliRunner().invoke(app, [
        "predict", str(tmp_path / "images"), "--out", str(run), "--model", str(model), "--quiet",
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    assert len(open_run(run)["a"].candidates) == 8
    with Server(run) as server:
        place = f"/api/images/{server.keys['a']}/candidates"
        (found,) = server.get(place)["candidates"]
        row0, col0, row1, col1 = found["box"]
        assert row0 <= 74 < row1
        assert col0 <= 105 < col1
        model.unlink()
        assert server.get(place)["candidates"] == [found]  # kept
    with Server(run) as server:  # without the model nothing changes
        assert server.get(place)["candidates"] == []
    assert len(open_run(run)["a"].candidates) == 8
