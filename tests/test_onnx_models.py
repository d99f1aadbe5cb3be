"""Exported models are opened only if they contain everything that they need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from bigkingxxl.errors import ModelError
from bigkingxxl.onnx_models import open_onnx
from tests.refusals import refused
from tests.tiny_onnx import save_tiny_onnx


@pytest.mark.parametrize("beside", ["weights.bin", "../secret.bin"])
def test_weights_in_other_files_are_not_read(tmp_path: Path, beside: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    path = folder / "model.onnx"
    save_tiny_onnx(path)
    open_onnx(path, threads=1)
    model = onnx.load(str(path))
    kernels = model.graph.initializer[0]
    (folder / beside).write_bytes(np.ones(tuple(kernels.dims), np.float32).tobytes())
    kernels.ClearField("raw_data")
    kernels.data_location = onnx.TensorProto.EXTERNAL
    kernels.external_data.add(key="location", value=beside)
    path.write_bytes(model.SerializeToString())
    with refused(ModelError, file=path, key="external_data"):
        open_onnx(path, threads=1)


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"ORTM" + bytes(100))
    with refused(ModelError, file=path):
        open_onnx(path, threads=1)
