"""The interface of representations: channels, targets, losses and decoding."""

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
SIZE_UNIT = 24.0  # network pixels: a size map holds log2(diameter / SIZE_UNIT)
ROUNDED_SIZES = 0.05  # sides are integers, so a zoom this close to 1 changes nothing


@dataclass(frozen=True)
class Channel:
    """A channel of a representation.

    Attributes:
        name: A name that is unique within the representation.
        kind: 'scalar'; 'row' or 'column' for a component of a vector, which flips and turns
            transform; or 'log_length' for the log2 of a length in pixels, to which a zoom is added.
        activation: The activation of the network's output: 'sigmoid', 'identity', or 'softmax' over
            all channels with that value.
    """

    name: str
    kind: Literal["scalar", "row", "column", "log_length"] = "scalar"
    activation: Literal["sigmoid", "identity", "softmax"] = "sigmoid"


class Representation(ABC):
    """An encoding of cells as K maps that a network can learn.

    All methods except `loss` and `activate` use numpy only, so that prediction needs no torch.

    Args:
        type_names: The cell types, at least one.
        settings: Settings of the representation's own class, or None for the defaults.

    Attributes:
        decode_grid: The parameters that tuning may change, with the values that it tries.
        unfiltered: Decoding parameters that drop no cell with a good score.
        lengths: The parameters that are lengths in pixels of the training images.
        areas: The parameters that are areas in pixels of the training images.
        warps: Whether the targets of a crop are those of the whole image seen through the same
            view, with the vectors rotated and normalised.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[AnySettings]]
    Parameters: ClassVar[type[AnySettings]]
    # whether `targets` accepts cells of type -1, which have no type
    learns_untyped: ClassVar[bool] = False
    learns_partly: ClassVar[bool] = False  # whether the loss ignores pixels whose targets are NaN
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
        """The K channels, in order."""

    @property
    def shape_maps(self) -> tuple[int, ...]:
        """The channels that are not learned from crops with unusually large or small cells."""
        return ()

    @property
    def size_map(self) -> int | None:
        """The channel that holds log2 of the diameter of each pixel's cell, or None."""
        return None

    @property
    def width_map(self) -> int | None:
        """The channel that of log2 of the cell's width (see `bigkingxxl.cell_widths`), or None."""
        return None

    @abstractmethod
    def targets(
        self,
        planes: NDArray[np.int32],
        cell_type: NDArray[np.int16],
        diameter: Float32 | None = None,
        width: Float32 | None = None,
    ) -> Float32:
        """Compute targets float32[K, h, w] from label planes.

        Args:
            planes: int32[L, h, w]; cell i has the label i + 1, and 0 is background.
            cell_type: int16[N], the type of each cell; cells may be absent from the planes.
            diameter: float32[N], the diameter of each complete cell in pixels; by default it is
                measured on the planes.
            width: float32[N], the width of each complete cell in pixels; by default unknown.
        """

    @abstractmethod
    def loss(self, *, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compute the losses by name; 'loss' is the total.

        Args:
            logits: float[B, K, h, w], the network's output before activation.
            targets: float32[B, K, h, w] from `targets`.
        """

    @abstractmethod
    def type_layers(self, maps: Tensor) -> Tensor:
        """Return the probability of each cell type at each pixel, float[B, T, h, w].

        Args:
            maps: float[B, K, h, w], activated maps, or targets from `targets`.
        """

    @abstractmethod
    def decode(self, maps: Float32, parameters: Mapping[str, Any] | None = None) -> Candidates:
        """Decode activated maps float32[K, h, w] into candidates.

        Args:
            maps: float32[K, h, w].
            parameters: Values for `Parameters`; missing ones keep their defaults.
        """

    @abstractmethod
    def type_weights(self, maps: Float32) -> Float32 | None:
        """Return the weight of each cell type in the maps, float32[T], or None if unknown."""

    def parameters(self, values: Mapping[str, Any] | None) -> Any:
        """Return validated parameters."""
        return checked(self.Parameters, values or {}, where=f"decoding parameters of '{self.name}'")

    def parameters_at(self, values: Mapping[str, Any] | None, zoom: float) -> Mapping[str, Any]:
        """Convert parameters to maps with `zoom` pixels per pixel of the training images."""
        if abs(zoom - 1) < ROUNDED_SIZES:
            return values or {}
        parameters: dict[str, Any] = self.parameters(values).model_dump()
        for names, factor in ((self.lengths, zoom), (self.areas, zoom**2)):
            for name in names:
                moved = parameters[name] * factor
                parameters[name] = math.ceil(moved) if isinstance(parameters[name], int) else moved
        return parameters

    def activate(self, logits: Tensor) -> Tensor:
        """Apply the activations to the network's output, float[B, K, h, w]."""
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
    """Compute the softmax over layers of equal shape.

    It works layer by layer, because ONNX Runtime transposes the whole array for a softmax over
    channels.
    """
    import torch

    if not layers:
        return []
    largest = reduce(torch.maximum, layers)
    powers = [torch.exp(layer - largest) for layer in layers]
    total = reduce(torch.add, powers)
    return [power / total for power in powers]
