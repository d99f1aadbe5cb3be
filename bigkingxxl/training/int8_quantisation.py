"""Eight-bit integer arithmetic for the widest convolutions of an exported model.

A network spends most of its time in its dense convolutions of 3 x 3 and more. ONNX Runtime computes
them up to three times faster in integers than in floating point. The stored weights do not change:
the graph tells the runtime how to round weights and activations when it loads the file, so that
training can still start from it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.files import whole_file
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.load_model import onnx_predictor
from bigkingxxl.onnx_models import runtime

log = logging.getLogger(__name__)

Float32 = NDArray[np.float32]
FEWEST_CHANNELS = 16  # with fewer, the conversion takes as much time as it saves
# Older x86 processors add two products of 8 by 8 bits in 16 bits, which overflows if weights use
# all 8 bits. With 7 bits every processor computes the same.
LARGEST_WEIGHT = 63
LARGEST_ACTIVATION = 255
COMPARED_TILES = 8
# The largest accepted mean difference of the maps. `bundled` differs by 0.006 and scores as before
# on 42 images that it was not trained on (docs/measured.md). Maps with a difference three times as
# large belong to a network that does not tolerate the rounding.
LARGEST_DIFFERENCE = 0.02


class Convolution(NamedTuple):
    """A convolution and the two nodes that follow it, as the exporter writes them."""

    node: Any
    norm: Any
    relu: Any


class Range(NamedTuple):
    """The smallest and the largest value of an activation; both include 0."""

    low: float
    high: float

    @property
    def step(self) -> np.float32:
        """The width of one of 256 levels."""
        return np.float32(max(self.high - self.low, 1e-6) / LARGEST_ACTIVATION)

    @property
    def zero(self) -> np.uint8:
        """The level of 0."""
        return np.uint8(round(-self.low / float(self.step)))


def use_int8(path: Path, sources: Iterable[ImageSource]) -> tuple[int, float]:
    """Let an exported model compute its dense convolutions in 8-bit integers.

    Convolutions followed by a batch norm and a ReLU are changed in place. Activations are rounded
    to 256 levels between the extremes that they reach on the images.

    Args:
        path: An .onnx file written by `bigkingxxl.training.export.export`.
        sources: Images like those that the model will predict; no annotations are needed.

    Returns:
        The number of convolutions that now compute in integers, and the mean absolute difference of
        the maps before and after on some of the images.

    Raises:
        InputError: The network has no such convolution, or all are in integers already, or there is
            no image.
        ModelError: The maps differ by more than 0.02; the file is left unchanged.

    Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference".
    """
    import onnx

    model = onnx.load(str(path))
    found = dense_convolutions(model.graph)
    if not found:
        raise InputError(
            f"{path}: its network has no convolution in floating point, followed by a batch norm "
            "and a ReLU, that could be computed in 8-bit integers",
            file=path,
        )
    compared: list[Float32] = []
    ranges = activation_ranges(model, found, _first_kept(network_inputs(path, sources), compared))
    _Graph(model.graph, ranges).quantize(found)
    difference = _difference(path.read_bytes(), model.SerializeToString(), compared)
    if difference > LARGEST_DIFFERENCE:
        raise ModelError(
            f"{path}: 8-bit arithmetic would change the maps by {difference:.2g} on average, more "
            f"than the {LARGEST_DIFFERENCE} that are accepted; the model keeps floating point",
            file=path,
            found=difference,
            expected=LARGEST_DIFFERENCE,
        )
    with whole_file(path) as temporary:
        onnx.save(model, str(temporary))
    return len(found), difference


def try_int8(path: Path, sources: Iterable[ImageSource]) -> None:
    """Call `use_int8`; a model that cannot be changed stays unchanged, and the log says why."""
    try:
        use_int8(path, sources)
    except (InputError, ModelError) as reason:
        log.warning("%s", reason)


def network_inputs(path: Path, sources: Iterable[ImageSource]) -> Iterator[Float32]:
    """Yield the inputs of an exported network on images: float32[1, C, h, w] each."""
    predictor, _ = onnx_predictor(path)
    predictor.estimate = True
    compute = predictor.maps_function
    seen: list[Float32] = []

    def recorded(tiles: Float32) -> Float32:
        seen.extend(tile[None].copy() for tile in tiles)
        return compute(tiles)

    predictor.maps_function = recorded
    for source in sources:
        predictor.candidates(source)
        yield from seen
        seen.clear()


def _first_kept(tiles: Iterable[Float32], kept: list[Float32]) -> Iterator[Float32]:
    for tile in tiles:
        if len(kept) < COMPARED_TILES:
            kept.append(tile)
        yield tile


def _difference(before: bytes, after: bytes, tiles: list[Float32]) -> float:
    """Return the mean absolute difference of the maps of two graphs."""
    sessions = [_session(graph) for graph in (before, after)]
    differences = []
    for tile in tiles:
        ((old,), (new,)) = (session.run(["maps"], {"image": tile}) for session in sessions)
        differences.append(float(np.abs(new - old).mean()))
    return float(np.mean(differences))


def _session(graph: bytes) -> Any:
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # constants that are no longer used are kept for training
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def dense_convolutions(graph: Any) -> list[Convolution]:
    """Return convolutions of at least 2 x 2 between many channels, with batch norm and ReLU."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    weights = {each.name: each for each in graph.initializer}

    def only_reader(node: Any, kind: str) -> Any | None:
        own = readers.get(node.output[0], [])
        return own[0] if len(own) == 1 and own[0].op_type == kind else None

    found = []
    for node in graph.node:
        if node.op_type != "Conv" or len(node.input) != 2:
            continue
        stored = weights.get(_stored(node.input[1]))
        if stored is None or min(stored.dims[:2]) < FEWEST_CHANNELS or max(stored.dims[2:]) < 2:
            continue
        norm = only_reader(node, "BatchNormalization")
        relu = norm and only_reader(norm, "Relu")
        if relu is not None:
            found.append(Convolution(node, norm, relu))
    return found


def activation_ranges(
    model: Any, found: list[Convolution], tiles: Iterable[Float32]
) -> dict[str, Range]:
    """Return the range of the input and output of each convolution, by name, over all tiles.

    Raises:
        InputError: There is no tile.
    """
    import onnx

    names = sorted({each.node.input[0] for each in found} | {each.relu.output[0] for each in found})
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    for name in names:
        kind = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        observed.graph.output.append(kind)
    session = _session(observed.SerializeToString())
    ranges = dict.fromkeys(names, Range(0.0, 0.0))
    empty = True
    for tile in tiles:
        empty = False
        for name, values in zip(names, session.run(names, {"image": tile}), strict=True):
            low, high = ranges[name]
            ranges[name] = Range(min(low, float(values.min())), max(high, float(values.max())))
    if empty:
        raise InputError("no image is given whose activations could be measured")
    return ranges


class _Graph:
    """A graph whose convolutions are converted to integers."""

    def __init__(self, graph: Any, ranges: Mapping[str, Range]) -> None:
        from onnx import numpy_helper

        self.graph, self.ranges = graph, ranges
        self.weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}

    def quantize(self, found: list[Convolution]) -> None:
        """Round the weights and the activations of the convolutions."""
        for each in found:
            self._round_weights(each)
        for name, values in self.ranges.items():
            self._round_activation(name, values)

    def _round_weights(self, each: Convolution) -> None:
        """Fold a batch norm into its convolution, whose weights and bias become integers.

        The float weights stay in the file; the runtime rounds them once, when it loads it.
        """
        read = each.node.input[1]
        weight = _stored(read)
        scale, shift, mean, variance = (self.weights[name] for name in each.norm.input[1:5])
        factor = (scale / np.sqrt(variance + _epsilon(each.norm))).astype(np.float32)
        bias = shift - mean * factor
        largest = np.abs(self.weights[weight].astype(np.float32)).max((1, 2, 3)) * np.abs(factor)
        step = np.maximum(largest / LARGEST_WEIGHT, 1e-8).astype(np.float32)
        bias_step = step * self.ranges[each.node.input[0]].step
        own = f"int8/{weight}"  # no weight has this name, so training does not find it
        constant = self._constant
        factors = constant(f"{own}/factor", factor[:, None, None, None])
        steps = constant(f"{own}/step", step)
        zero = constant(f"{own}/zero", np.zeros(len(step), np.int8))
        rounded = [
            constant(f"{own}/bias", np.round(bias / bias_step).astype(np.int32)),
            constant(f"{own}/bias_step", bias_step),
            constant(f"{own}/bias_zero", np.zeros(len(step), np.int32)),
        ]
        self._insert_before(
            each.node,
            ("Mul", [read, factors], f"{own}/scaled", {}),
            ("QuantizeLinear", [f"{own}/scaled", steps, zero], f"{own}/int8", {"axis": 0}),
            ("DequantizeLinear", [f"{own}/int8", steps, zero], f"{own}/rounded", {"axis": 0}),
            ("DequantizeLinear", rounded, f"{own}/rounded_bias", {"axis": 0}),
        )
        each.node.input[1:] = [f"{own}/rounded", f"{own}/rounded_bias"]
        each.relu.input[0] = each.node.output[0]
        self.graph.node.remove(each.norm)

    def _round_activation(self, name: str, values: Range) -> None:
        """Round a tensor to 8 bits where it is made, for all its readers."""
        rounded = f"{name}/rounded"
        for node in self.graph.node:
            node.input[:] = [rounded if each == name else each for each in node.input]
        levels = [self._constant(f"{name}/step", values.step),
                  self._constant(f"{name}/zero", values.zero)]  # fmt: skip
        made = next(node for node in self.graph.node if name in node.output)
        following = self.graph.node[list(self.graph.node).index(made) + 1]
        self._insert_before(
            following,
            ("QuantizeLinear", [name, *levels], f"{name}/uint8", {}),
            ("DequantizeLinear", [f"{name}/uint8", *levels], rounded, {}),
        )

    def _insert_before(self, node: Any, *added: tuple[str, list[str], str, dict[str, int]]) -> None:
        from onnx import helper

        place = list(self.graph.node).index(node)
        for kind, inputs, output, attributes in reversed(added):
            self.graph.node.insert(place, helper.make_node(kind, inputs, [output], **attributes))

    def _constant(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def _stored(name: str) -> str:
    """Return the initializer of a weight, which a half-precision file casts on reading."""
    return name.removesuffix("/float32")


def _epsilon(norm: Any) -> float:
    from onnx import helper

    values = {each.name: helper.get_attribute_value(each) for each in norm.attribute}
    return float(values.get("epsilon", 1e-5))
