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

from bigkingxxl.model_bytes import (
    onnx_metadata,
    onnx_with,
    safetensors_with,
    uses_other_files,
)

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


def elsewhere() -> onnx.TensorProto:
    """A tensor that lies in another file."""
    tensor = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def models_with(tensor: onnx.TensorProto) -> dict[str, onnx.ModelProto]:
    """The same tensor in every place where a model may have one."""
    models = {name: small_onnx({}) for name in (
        "initializer", "values", "indices", "constant", "tensors", "branch", "branches", "function",
    )}  # fmt: skip
    models["initializer"].graph.initializer.append(tensor)
    models["values"].graph.sparse_initializer.add().values.CopyFrom(tensor)
    models["indices"].graph.sparse_initializer.add().indices.CopyFrom(tensor)
    models["constant"].graph.node[0].attribute.add().t.CopyFrom(tensor)
    models["tensors"].graph.node[0].attribute.add().tensors.append(tensor)
    models["branch"].graph.node[0].attribute.add().g.initializer.append(tensor)
    models["branches"].graph.node[0].attribute.add().graphs.add().initializer.append(tensor)
    models["function"].functions.add().node.add().attribute.add().t.CopyFrom(tensor)
    return models


def test_tensors_in_other_files_are_found_wherever_they_are() -> None:
    found = {
        name: uses_other_files(model.SerializeToString())
        for name, model in models_with(elsewhere()).items()
    }
    assert all(found.values()), found
    own = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    assert not any(
        uses_other_files(model.SerializeToString()) for model in models_with(own).values()
    )


def test_graphs_nested_without_bounds_are_searched() -> None:
    model, depth = small_onnx({}), 90  # the library itself parses 100 messages within each other
    graph = model.graph
    for _ in range(depth // 3):
        graph = graph.node.add().attribute.add().g
    graph.initializer.append(elsewhere())
    assert uses_other_files(model.SerializeToString())
