"""Metadata rewritten byte by byte, compared with the libraries' own readers and writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save, save_file

from bigkingxxl.model_bytes import onnx_metadata, onnx_with, safetensors_with

WEIGHTS: dict[str, NDArray[Any]] = {
    "b": np.arange(7, dtype=np.float16),
    "a": np.ones((3, 2), np.float32),
}


@pytest.mark.parametrize("value", ["x", 'an "ä" \n {}', "long " * 500])
def test_safetensors_as_the_library_writes_it(tmp_path: Path, value: str) -> None:
    changed = safetensors_with(save(WEIGHTS, metadata={"key": "before"}), "key", value)
    assert changed == save(WEIGHTS, metadata={"key": value})
    path = tmp_path / "it.safetensors"
    path.write_bytes(changed)
    with safe_open(path, framework="numpy") as stream:
        assert stream.metadata() == {"key": value}


def test_safetensors_keeps_other_entries_and_every_tensor(tmp_path: Path) -> None:
    path = tmp_path / "it.safetensors"
    save_file(WEIGHTS, path, metadata={"other": "stays"})
    path.write_bytes(safetensors_with(path.read_bytes(), "key", "new"))
    with safe_open(path, framework="numpy") as stream:
        assert stream.metadata() == {"other": "stays", "key": "new"}
    for name, tensor in load_tensors(path.read_bytes()).items():
        assert tensor.tobytes() == WEIGHTS[name].tobytes()


def small_onnx(metadata: dict[str, str]) -> onnx.ModelProto:
    helper = onnx.helper
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])
    weights = onnx.numpy_helper.from_array(np.arange(400, dtype=np.float32), "w")
    node = helper.make_node("Identity", ["x"], ["y"])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])
    model = helper.make_model(helper.make_graph([node], "g", [value], [out], [weights]))
    helper.set_model_props(model, metadata)
    return model


@pytest.mark.parametrize("value", ["x", 'an "ä" \n {}', "long " * 500, ""])
def test_onnx_as_the_library_reads_it(value: str) -> None:
    model = small_onnx({"key": "before", "other": "stays"})
    changed = onnx.load_from_string(onnx_with(model.SerializeToString(), "key", value))
    assert {each.key: each.value for each in changed.metadata_props} == {
        "key": value, "other": "stays",
    }  # fmt: skip
    del changed.metadata_props[:], model.metadata_props[:]
    assert changed == model


@pytest.mark.parametrize("content", [b"", b"\xff" * 30, b"hello, this is text", b"\x07" * 9])
def test_another_file_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        safetensors_with(content, "key", "value")
    if content:
        with pytest.raises(ValueError, match=r".+"):
            onnx_with(content, "key", "value")


@pytest.mark.parametrize("metadata", [{}, {"key": 'an "ä" \n {}', "other": ""}])
def test_onnx_metadata_equals_that_of_the_library(metadata: dict[str, str]) -> None:
    content = small_onnx(metadata).SerializeToString()
    assert onnx_metadata(content) == metadata
    for stop in (len(content) - 1, len(content) // 2):
        with pytest.raises(ValueError, match="ends within"):
            onnx_metadata(content[:stop])
