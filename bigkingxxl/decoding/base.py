"""What a dense method predicts at every pixel, how it is learnt and how cells are read from it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.settings import Settings as AnySettings
from bigkingxxl.settings import checked

if TYPE_CHECKING:
    from torch import Tensor

Float32 = NDArray[np.float32]
SIZE_UNIT = 24.0  # pixels of the network: a map of sizes is log2(diameter / SIZE_UNIT)
ROUNDED_SIZES = 0.05  # sides are whole pixels: a zoom this near to 1 is none


@dataclass(frozen=True)
class Channel:
    """One map of a representation.

    Attributes:
        name: unique within the representation.
        kind: 'scalar', a vector's 'row' or 'column' component (flips and turns turn vectors), or
            'log_length', the log2 of a length in pixels (zooms add to it).
        activation: what makes the network's output a map: 'sigmoid', 'identity', or 'softmax' over
            all channels marked so.
    """

    name: str
    kind: Literal["scalar", "row", "column", "log_length"] = "scalar"
    activation: Literal["sigmoid", "identity", "softmax"] = "sigmoid"


class Representation(ABC):
    """How cells are written as K maps, learnt as maps, and read from maps.

    Args:
        type_names: the cell types, at least one.
        settings: of the representation's own kind, or None for the defaults.

    Everything but `loss` is numpy: prediction needs no torch.

    Attributes:
        decode_grid: the parameters that tuning may move, and the values it tries.
        unfiltered: decoding parameters under which no cell is dropped that a good score would keep.
        lengths, areas: the parameters that count pixels, or square ones, of the training images.
        warps: whether the targets of a crop are those of the whole image, seen through the same
            view, vectors turned with it and of length 1.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[AnySettings]]
    Parameters: ClassVar[type[AnySettings]]
    learns_untyped: ClassVar[bool] = False  # targets understand cells of type -1, of no type
    learns_partly: ClassVar[bool] = False  # the loss leaves out pixels whose targets are NaN
    warps: ClassVar[bool] = False
    decode_grid: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    unfiltered: ClassVar[Mapping[str, float]] = {}
    lengths: ClassVar[tuple[str, ...]] = ()
    areas: ClassVar[tuple[str, ...]] = ()

    def __init__(self, type_names: tuple[str, ...], settings: AnySettings | None = None) -> None:
        self.type_names = type_names
        self.settings: Any = self.Settings() if settings is None else settings

    @property
    @abstractmethod
    def channels(self) -> tuple[Channel, ...]:
        """The K maps, in order."""

    @property
    def shape_maps(self) -> tuple[int, ...]:
        """The maps that are not learnt where cells are shown far larger or smaller than usual."""
        return ()

    @property
    def size_map(self) -> int | None:
        """The map of the log2 of the diameter of each pixel's cell, or None where there is none."""
        return None

    @property
    def width_map(self) -> int | None:
        """The same of the cell's width (see `bigkingxxl.widths`)."""
        return None

    @abstractmethod
    def targets(
        self,
        planes: NDArray[np.int32],
        cell_type: NDArray[np.int16],
        diameter: Float32 | None = None,
        width: Float32 | None = None,
    ) -> Float32:
        """float32[K, h, w] from label planes int32[L, h, w] (cell i is i + 1, 0 = background).

        Args:
            cell_type: int16[N], the type of each cell; cells may be absent from the planes.
            diameter: float32[N], of each whole cell in pixels; by default of what the planes show.
            width: float32[N], of each whole cell in pixels; by default unknown.
        """

    @abstractmethod
    def loss(self, *, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Losses by name, the total under 'loss'.

        Args:
            logits: float[B, K, h, w], the network's output before activation.
            targets: float32[B, K, h, w] as `targets` makes them.
        """

    @abstractmethod
    def type_layers(self, maps: Tensor) -> Tensor:
        """float[B, T, h, w]: how much each pixel is a cell of each type, 0 to 1.

        Args:
            maps: float[B, K, h, w], activated, or targets as `targets` makes them.
        """

    @abstractmethod
    def decode(self, maps: Float32, parameters: Mapping[str, Any] | None = None) -> Candidates:
        """Cells from float32[K, h, w] activated maps.

        Args:
            parameters: values for `Parameters`; what is left out keeps its default.
        """

    @abstractmethod
    def type_weights(self, maps: Float32) -> Float32 | None:
        """float32[T]: how much of each cell type the maps show, or None where they cannot tell."""

    def parameters(self, values: Mapping[str, Any] | None) -> Any:
        """Checked parameters."""
        return checked(self.Parameters, values or {}, where=f"decoding parameters of '{self.name}'")

    def parameters_at(self, values: Mapping[str, Any] | None, zoom: float) -> Mapping[str, Any]:
        """Parameters for maps of which `zoom` pixels make one of the training images."""
        if abs(zoom - 1) < ROUNDED_SIZES:
            return values or {}
        parameters: dict[str, Any] = self.parameters(values).model_dump()
        for names, factor in ((self.lengths, zoom), (self.areas, zoom**2)):
            for name in names:
                moved = parameters[name] * factor
                parameters[name] = math.ceil(moved) if isinstance(parameters[name], int) else moved
        return parameters

    def activate(self, logits: Tensor) -> Tensor:
        """Maps from the network's output, float[B, K, h, w] both."""
        import torch

        kinds = [channel.activation for channel in self.channels]
        soft = [i for i, kind in enumerate(kinds) if kind == "softmax"]
        shares = dict(zip(soft, softmax([logits[:, i] for i in soft]), strict=True))
        layers = []
        for index, kind in enumerate(kinds):
            layer = shares[index] if kind == "softmax" else logits[:, index]
            layers.append(torch.sigmoid(layer) if kind == "sigmoid" else layer)
        return torch.stack(layers, dim=1)


def softmax(layers: Sequence[Tensor]) -> list[Tensor]:
    """Softmax over layers of one shape.

    Layer by layer: ONNX Runtime turns the whole array over for a softmax across channels.
    """
    import torch

    if not layers:
        return []
    largest = reduce(torch.maximum, layers)
    powers = [torch.exp(layer - largest) for layer in layers]
    total = reduce(torch.add, powers)
    return [power / total for power in powers]
