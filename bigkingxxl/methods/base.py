"""The interface of every method: what it builds, how it learns, what it sees in a tile."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.decoding.base import Representation
from bigkingxxl.errors import SettingsError
from bigkingxxl.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Crop:
    """One training crop, augmented and normalised.

    Attributes:
        image: float32[C, h, w].
        planes: int32[L, h, w], cell i paints i + 1; overlapping cells lie on different planes.
        cell_type: int16[N].
        diameter: float32[N], of each whole cell in crop pixels; None takes what the planes show.
        width: float32[N], of each whole cell in crop pixels (see `bigkingxxl.widths`); None where
            the method does not learn it.
        ignored: bool[h, w], pixels that are not annotated; None where all are.
        is_wide: cells are shown far larger or smaller than prediction will show them.
    """

    image: Float32
    planes: NDArray[np.int32]
    cell_type: NDArray[np.int16]
    diameter: Float32 | None = None
    ignored: NDArray[np.bool_] | None = None
    is_wide: bool = False
    width: Float32 | None = None


@dataclass
class Batch:
    """B crops of one size.

    Attributes:
        images: float[B, C, h, w].
        targets: what the method's `collate` made of its `targets`.
        unlabelled: float[U, C, h, w], crops of images without annotation.
        taught: int64[T], which of the crops a teacher sees too, and unlit: float[T, C, h, w], those
            crops in the light that the camera saw them in.
    """

    images: Tensor
    targets: Any
    unlabelled: Tensor | None = None
    taught: Tensor | None = None
    unlit: Tensor | None = None


class Method(ABC):
    """One family of models. A plain class: it holds settings and types, never weights.

    Args:
        settings: of the method's own `Settings`.
        type_names: the cell types it tells apart, at least one.

    A network is passed in where one is needed, so that training, averaging and export are free to
    wrap it.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[Settings]]
    stride: int = 1  # sides of a tile must be multiples of it
    # Pixels around a place that change what is seen there; None where all of a tile does.
    context: int | None = None

    def __init__(self, settings: Any, type_names: tuple[str, ...]) -> None:
        self.settings = settings
        self.type_names = type_names

    def rows_by_type(self, name: str) -> bool:  # noqa: ARG002 (a method without such weights)
        """Whether a weight's rows belong to background and the cell types, in this order."""
        return False

    @property
    def learns_untyped(self) -> bool:
        """Whether crops may hold cells of type -1: cells of none of the types."""
        return False

    @property
    def learns_partly(self) -> bool:
        """Whether pixels of a crop may be marked as not annotated."""
        return False

    @property
    def learns_width(self) -> bool:
        """Whether the width of cells is among the targets."""
        return False

    @abstractmethod
    def build(self) -> nn.Module:
        """A fresh network."""

    def initialise(self, network: nn.Module) -> None:  # noqa: B027 (a choice, no duty)
        """Give a fresh network what it starts training from (pretrained parts); default: nothing.

        Apart from `build`, so that loading a trained model never asks for pretrained weights.
        """

    @abstractmethod
    def targets(self, crop: Crop) -> Any:
        """What the loss compares with, as numpy arrays; made in the loader."""

    @abstractmethod
    def collate(self, targets: Sequence[Any]) -> Any:
        """B targets as one batch of tensors."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Losses by name, the total under 'loss'."""

    def layers(self, network: nn.Module, images: Tensor) -> Tensor:  # noqa: ARG002
        """float32[B, T, h, w]: how much each pixel is a cell of each type, differentiably.

        Raises:
            SettingsError: the method has no such layers, so no critic can judge it.
        """
        raise SettingsError(f"the method '{self.name}' cannot be trained with a critic")

    def true_layers(self, targets: Any) -> Tensor:  # noqa: ARG002
        """float32[B, T, h, w]: the same of annotated cells, from collated targets; 0 or 1."""
        raise SettingsError(f"the method '{self.name}' cannot be trained with a critic")

    def losses_and_layers(
        self, network: nn.Module, batch: Batch
    ) -> tuple[dict[str, Tensor], Tensor]:
        """`loss` and `layers` of one batch."""
        return self.loss(network, batch), self.layers(network, batch.images)

    @abstractmethod
    def detect(self, network: nn.Module, tiles: Tensor) -> list[Candidates]:
        """What the network sees in float32[B, C, h, w] normalised tiles, one entry per tile."""


class DenseMethod(Method):
    """A network times a representation: maps at every pixel, from which cells are decoded.

    Attributes:
        output_layer: the network's layer that makes the maps, one block of its rows a map.
        zooms: how many times larger tuning shows images to the network, type by type; () = as they
            are. A network that knows one size of cells only has such.
        any_size: whether tiles may be of any multiple of the stride.
    """

    output_layer: ClassVar[str]
    zooms: ClassVar[tuple[float, ...]] = ()
    any_size: bool = True
    representation: Representation

    @property
    def output_maps(self) -> tuple[str, ...]:
        """The maps that the output layer makes, in order."""
        return tuple(channel.name for channel in self.representation.channels)

    @property
    def learns_untyped(self) -> bool:
        """See `Representation.learns_untyped`."""
        return self.representation.learns_untyped

    @property
    def learns_partly(self) -> bool:
        """See `Representation.learns_partly`."""
        return self.representation.learns_partly

    @property
    def learns_width(self) -> bool:
        """See `Representation.width_map`."""
        return self.representation.width_map is not None

    def targets(self, crop: Crop) -> Float32:
        """float32[K, h, w], NaN where the loss is not to look."""
        maps = self.representation.targets(crop.planes, crop.cell_type, crop.diameter, crop.width)
        if self.learns_partly:
            if crop.is_wide:
                maps[list(self.representation.shape_maps)] = np.nan
            if crop.ignored is not None:
                maps[:, crop.ignored] = np.nan
        return maps

    def collate(self, targets: Sequence[Float32]) -> Tensor:
        """float32[B, K, h, w]."""
        import torch

        return torch.from_numpy(np.stack(targets))

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The representation's losses."""
        return self.representation.loss(logits=network(batch.images), targets=batch.targets)

    def losses_and_layers(
        self, network: nn.Module, batch: Batch
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Both of one look."""
        logits = network(batch.images)
        losses = self.representation.loss(logits=logits, targets=batch.targets)
        return losses, self.representation.type_layers(self.representation.activate(logits.float()))

    def layers(self, network: nn.Module, images: Tensor) -> Tensor:
        """See `Method.layers`."""
        return self.representation.type_layers(self.maps(network, images))

    def true_layers(self, targets: Tensor) -> Tensor:
        """See `Method.true_layers`."""
        return self.representation.type_layers(targets.nan_to_num())

    def maps(self, network: nn.Module, tiles: Tensor) -> Tensor:
        """float32[B, K, h, w] activated maps of normalised tiles [B, C, h, w]."""
        return self.representation.activate(network(tiles).float())

    def detect(self, network: nn.Module, tiles: Tensor) -> list[Candidates]:
        """Each tile decoded on its own (prediction of whole images blends maps first)."""
        maps = self.maps(network, tiles).detach().cpu().numpy()
        return [self.representation.decode(each) for each in maps]
