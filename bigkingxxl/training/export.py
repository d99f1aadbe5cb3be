"""A trained dense model as ONNX: it predicts without torch, and says the same."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.methods.base import DenseMethod
from bigkingxxl.models import METADATA_KEY, load_model, open_onnx
from bigkingxxl.runs import whole_file

PARITY = 1e-3
OPSET = 17


class _Maps(nn.Module):
    """Network and activation in one, as the exported graph has them."""

    def __init__(self, method: DenseMethod, network: nn.Module) -> None:
        super().__init__()
        self.method, self.network = method, network

    def forward(self, image: Tensor) -> Tensor:
        maps: Tensor = self.method.maps(self.network, image)
        return maps


def export(model: Path, out: Path) -> float:
    """Write the model as ONNX, its card included, and hold it against torch on other sizes.

    Returns:
        The largest difference of the maps that was seen.
    Raises:
        InputError: the method has no maps (a detector).
        ModelError: the exported graph differs by more than 1e-3.
    """
    loaded = load_model(model)
    if not isinstance(loaded.method, DenseMethod):
        raise InputError(f"{model}: only dense methods can be exported, not '{loaded.card.method}'")
    maps = _Maps(loaded.method, loaded.network).eval()
    stride, channels = loaded.method.stride, loaded.card.image_channels
    with whole_file(out) as temporary:
        _write_graph(maps, torch.randn(2, channels, 2 * stride, 3 * stride), temporary)
        _add_card(temporary, loaded.card.model_dump_json())
        difference = parity(maps, temporary, [(1, 4 * stride, 4 * stride),
                                              (3, 5 * stride, 2 * stride)])  # fmt: skip
        if difference > PARITY:
            raise ModelError(f"{model}: its exported maps differ by {difference:.2g} from torch's")
    return difference


def _write_graph(maps: nn.Module, example: Tensor, path: Path) -> None:
    sides = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        # Traced constants (strides, the padding of whole tiles) and the exporter's own age.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            maps, (example,), str(path), input_names=["image"], output_names=["maps"],
            dynamic_axes={"image": sides, "maps": sides}, opset_version=OPSET, dynamo=False,
        )  # fmt: skip


def _add_card(path: Path, card: str) -> None:
    import onnx

    graph = onnx.load(str(path))
    onnx.helper.set_model_props(graph, {METADATA_KEY: card})
    onnx.save(graph, str(path))


def parity(maps: nn.Module, path: Path, sizes: list[tuple[int, int, int]]) -> float:
    """Largest difference between torch and ONNX Runtime over batches of (B, h, w)."""
    card, session = open_onnx(path, threads=1)
    generator = np.random.default_rng(0)
    largest = 0.0
    for batch, height, width in sizes:
        image = generator.standard_normal((batch, card.image_channels, height, width))
        image = image.astype(np.float32)
        with torch.inference_mode():
            expected = maps(torch.from_numpy(image)).numpy()
        (found,) = session.run(None, {"image": image})
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest
