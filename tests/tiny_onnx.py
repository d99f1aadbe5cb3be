"""An exported model small enough to be written in a test: bright blobs are cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import METADATA_KEY
from bigkingxxl.operating_points import OperatingPoints

SIZE = (96, 120)
PLACES = [(row, col) for row in (18, 46, 74) for col in (20, 50, 80, 105)]


def blobs(count: int = len(PLACES), seed: int = 0) -> NDArray[np.uint8]:
    """uint8[96, 120]: bright blobs on a gray background with a little noise."""
    row, col = np.indices(SIZE)
    image = np.random.default_rng(seed).normal(30, 1, SIZE)
    for place in PLACES[:count]:
        image += 190 * np.exp(-((row - place[0]) ** 2 + (col - place[1]) ** 2) / (2 * 4.0**2))
    return image.clip(0, 255).astype(np.uint8)


def tiny_card(**values: Any) -> ModelCard:
    """A compact network with flows of one cell type; flows need not be unit vectors."""
    points = {"default": {"decode": {"flow_error": 4.0}, "select": {"score_threshold": 0.02}}}
    return ModelCard(
        method="compact", settings={}, type_names=("cell",),
        prediction=PredictionSettings(tile=256), operating_points=OperatingPoints(**points),
        **values,
    )  # fmt: skip


def tiny_graph() -> onnx.GraphProto:
    """Foreground where it is bright, flows along the brightness gradient."""
    kernels = np.zeros((3, 1, 3, 3), np.float32)
    kernels[0, 0, 1, 1] = 10
    kernels[1, 0, [0, 2], 1] = kernels[2, 0, 1, [0, 2]] = [-2, 2]
    constants = {"kernels": kernels, "bias": np.array([-4, 0, 0], np.float32),
                 "one": np.array([1, 2], np.int64)}  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["image", "kernels", "bias"], ["raw"], pads=[1, 1, 1, 1]),
        helper.make_node("Split", ["raw", "one"], ["logit", "flows"], axis=1),
        helper.make_node("Sigmoid", ["logit"], ["foreground"]),
        helper.make_node("Concat", ["foreground", "flows"], ["maps"], axis=1),
    ]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", count, "h", "w"])
             for name, count in (("image", 1), ("maps", 3))]  # fmt: skip
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return helper.make_graph(nodes, "tiny", sides[:1], sides[1:], stored)


def save_tiny_onnx(
    path: Path,
    graph: onnx.GraphProto | None = None,
    ours: bool = True,
    card: ModelCard | None = None,
) -> Path:
    """The model file; `ours` says whether it holds our metadata."""
    model = helper.make_model(graph or tiny_graph(), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    if ours:
        helper.set_model_props(model, {METADATA_KEY: (card or tiny_card()).model_dump_json()})
    onnx.save(model, str(path))
    return path
