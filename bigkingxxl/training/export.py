"""Export a trained dense model to ONNX, which predicts the same without torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.files import whole_file
from bigkingxxl.methods.base import DenseMethod
from bigkingxxl.model_files import METADATA_KEY, ONNX_PREFIX, load_model
from bigkingxxl.networks.encoders import with_constant_padding
from bigkingxxl.onnx_models import open_onnx

PARITY = 1e-3
OPSET = 17


class _Maps(nn.Module):
    """The network with its activations, as in the exported graph."""

    def __init__(self, method: DenseMethod, network: nn.Module) -> None:
        super().__init__()
        self.method, self.network = method, network

    def forward(self, image: Tensor) -> Tensor:
        maps: Tensor = self.method.maps(self.network, image)
        return maps


def export(model: Path, out: Path, *, half: bool = False) -> float:
    """Export a model with its card, and compare it with torch for several sizes.

    The graph keeps the names of the weights, so that training can also start from the exported file
    (`bigkingxxl.model_files.load_model`).

    Args:
        model: The model file.
        out: The ONNX file.
        half: Whether to store the weights of convolutions in 16 bits, half the size; they compute
            in 32 bits.

    Returns:
        The largest difference of the maps from torch with the same weights.

    Raises:
        InputError: The method has no maps (a detector), or is limited to one tile size.
        ModelError: The exported graph differs by more than 1e-3.
    """
    loaded = load_model(model)
    if not isinstance(loaded.method, DenseMethod):
        raise InputError(
            f"{model}: only dense methods can be exported, not '{loaded.card.method}'",
            file=model,
            key="method",
            found=loaded.card.method,
        )
    if not loaded.method.any_size:
        raise InputError(
            f"{model}: its network only accepts tiles of {loaded.method.stride} x "
            f"{loaded.method.stride}, so it cannot be exported",
            file=model,
            key="tile",
            found=loaded.method.stride,
        )
    if half:
        round_to_half(loaded.network)
    maps = _Maps(loaded.method, loaded.network).eval()
    stride, channels = loaded.method.stride, loaded.card.image_channels
    with whole_file(out) as temporary:
        draws = torch.Generator().manual_seed(0)
        example = torch.randn(2, channels, 2 * stride, 3 * stride, generator=draws)
        _write_graph(maps, example, temporary)
        _finish_graph(temporary, loaded.card.model_dump_json(), half)
        difference = parity(maps, temporary, [(1, 4 * stride, 4 * stride),
                                              (3, 5 * stride, 2 * stride)])  # fmt: skip
        if difference > PARITY:
            raise ModelError(
                f"{model}: its exported maps differ by {difference:.2g} from torch's",
                file=model,
                found=difference,
            )
    return difference


def round_to_half(network: nn.Module) -> None:
    """Round the weights that a half-size file will store to float16, in place."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.half().float()


def _write_graph(maps: nn.Module, example: Tensor, path: Path) -> None:
    sides = {0: "batch", 2: "height", 3: "width"}
    # For a module in training mode, the exporter does not merge equal weights, so that each keeps
    # its name. This flag alone does not change what the inner network, in evaluation mode,
    # computes.
    maps = with_constant_padding(maps)
    maps.training = True
    with warnings.catch_warnings():
        # Warnings of traced constants (strides, padding of whole tiles) and of the exporter's age.
        warnings.simplefilter("ignore")
        # Training mode keeps batch norms and weights by name; ONNX Runtime folds them itself.
        torch.onnx.export(
            maps, (example,), str(path), input_names=["image"], output_names=["maps"],
            dynamic_axes={"image": sides, "maps": sides}, opset_version=OPSET, dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
        )  # fmt: skip


def _finish_graph(path: Path, card: str, half: bool) -> None:
    import onnx

    model = onnx.load(str(path))
    for node in model.graph.node:
        # ONNX Runtime merges a padding into its convolution only if no input is empty.
        while node.op_type == "Pad" and not node.input[-1]:
            node.input.pop()
    if half:
        _store_half(model.graph)
    onnx.helper.set_model_props(model, {METADATA_KEY: card})
    onnx.save(model, str(path))


def _store_half(graph: Any) -> None:
    """Store the weights of convolutions as float16 with a cast where they are used."""
    from onnx import TensorProto, helper, numpy_helper

    for stored in graph.initializer:
        weights = numpy_helper.to_array(stored)
        named = stored.name.startswith(ONNX_PREFIX)
        if not named or weights.ndim < 2 or weights.dtype != np.float32:
            continue
        readers = [node for node in graph.node if stored.name in node.input]
        cast = f"{stored.name}/float32"
        for node in readers:
            node.input[:] = [cast if name == stored.name else name for name in node.input]
        stored.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), stored.name))
        graph.node.insert(0, helper.make_node("Cast", [stored.name], [cast], to=TensorProto.FLOAT))


def parity(maps: nn.Module, path: Path, sizes: list[tuple[int, int, int]]) -> float:
    """Return the largest difference between torch and ONNX Runtime over batches of (B, h, w)."""
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
