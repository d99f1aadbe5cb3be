"""Annotated images of bright squares, and a model of one multiplication that detects them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tifffile
from numpy.typing import NDArray

from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import METADATA_KEY
from tests.small_models import SMALL_UNETR

SIDE = 96
CELL, FLECK = 12, 5


def field(
    seed: int, cells: int = 9, flecks: int = 9
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Bright squares that are cells, and smaller ones that are not, on a noisy background."""
    rng = np.random.default_rng(seed)
    image, labels = rng.normal(120, 2, (SIDE, SIDE)), np.zeros((SIDE, SIDE), np.int32)
    for place in range(9):
        row, col = 3 + 31 * (place // 3) + rng.integers(3), 3 + 31 * (place % 3) + rng.integers(3)
        if place < cells:
            image[row : row + CELL, col : col + CELL] += 90
            labels[row : row + CELL, col : col + CELL] = place + 1
        if place < flecks:
            image[row + 18 : row + 18 + FLECK, col : col + FLECK] += 90
    return image.clip(0, 255).astype(np.uint8), labels


def save(folder: Path, fields: dict[str, tuple[NDArray[Any], NDArray[Any]]]) -> Path:
    """Write `images/` beside `labels/`."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for name, (image, labels) in fields.items():
        tifffile.imwrite(folder / "images" / f"{name}.tif", image)
        tifffile.imwrite(folder / "labels" / f"{name}.tif", labels.astype(np.uint16))
    return folder


def fields(count: int, **options: int) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.int32]]]:
    """Different fields by name."""
    return {f"f{seed}": field(seed, **options) for seed in range(count)}


def bright_model(path: Path, gain: float = 8.0, **card: Any) -> Path:
    """Bright regions are cells; with a negative gain, dark ones are."""
    helper = onnx.helper
    sides = ["B", 1, "h", "w"]
    image, maps = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sides)
                   for name in ("image", "maps"))  # fmt: skip
    weights = [
        onnx.numpy_helper.from_array(np.array([value], np.float32).reshape(1, 1, 1, 1), name)
        for name, value in (("gain", gain), ("offset", -4.0))
    ]
    nodes = [
        helper.make_node("Mul", ["image", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["maps"]),
    ]
    graph = helper.make_graph(nodes, "bright", [image], [maps], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    written = ModelCard(
        method="unetr", settings={**SMALL_UNETR, "representation": "components"},
        type_names=("cell",), prediction=PredictionSettings(tile=96, overlap=0), **card,
    )  # fmt: skip
    helper.set_model_props(model, {METADATA_KEY: written.model_dump_json()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path
