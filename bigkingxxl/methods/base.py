"""The interface of methods: how they build, train and apply a network."""

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
        planes: int32[L, h, w]; cell i has the label i + 1, and overlapping cells lie on different
            planes.
        cell_type: int16[N].
        diameter: float32[N], the diameter of each complete cell in crop pixels; None measures it on
            the planes.
        width: float32[N], the width of each complete cell in crop pixels (see
            `bigkingxxl.cell_widths`); None if the method does not learn it.
        ignored: bool[h, w], the pixels that are not annotated; None if all are.
        is_wide: Whether the cells are far larger or smaller than prediction will show them.
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
        targets: The result of the method's `collate`.
        unlabelled: float[U, C, h, w], crops of images without annotations.
        taught: int64[T], the indices of the crops that a teacher processes as well.
        clean: float[T, C, h, w], those crops without changes of intensity.
    """

    images: Tensor
    targets: Any
    unlabelled: Tensor | None = None
    taught: Tensor | None = None
    clean: Tensor | None = None


class Method(ABC):
    """A family of models. It is a plain class that holds settings and cell types, never weights.

    A network is passed as an argument where one is needed, so that training, averaging and export
    may wrap it.

    Args:
        settings: Settings of the method's own class.
        type_names: The cell types that it distinguishes, at least one.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[Settings]]
    stride: int = 1  # the sides of a tile must be multiples of it
    # The receptive field in pixels around a position; None if it is the whole tile.
    context: int | None = None

    def __init__(self, settings: Any, type_names: tuple[str, ...]) -> None:
        self.settings = settings
        self.type_names = type_names

    def rows_by_type(self, name: str) -> bool:  # noqa: ARG002 (a method without such weights)
        """Return whether the rows of a weight belong to background and cell types."""
        return False

    @property
    def learns_untyped(self) -> bool:
        """Whether crops may contain cells of type -1, which have no type."""
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
        """Build an untrained network."""

    def initialise(self, network: nn.Module) -> None:  # noqa: B027 (a choice, no duty)
        """Load what a new network starts training from, by default nothing.

        It is separate from `build`, so that loading a trained model never needs pretrained weights.
        """

    @abstractmethod
    def targets(self, crop: Crop) -> Any:
        """Compute the targets of a crop as numpy arrays; runs in the data loader."""

    @abstractmethod
    def collate(self, targets: Sequence[Any]) -> Any:
        """Combine the targets of B crops into a batch of tensors."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses by name; 'loss' is the total."""

    def layers(self, network: nn.Module, images: Tensor) -> Tensor:  # noqa: ARG002
        """Return differentiable type probabilities at each pixel, float32[B, T, h, w].

        Raises:
            SettingsError: The method has no such layers, so that a critic cannot judge it.
        """
        raise SettingsError(
            f"the method '{self.name}' cannot be trained with a critic",
            key="method",
            found=self.name,
        )

    def true_layers(self, targets: Any) -> Tensor:  # noqa: ARG002
        """Return the layers of annotated cells, float32[B, T, h, w] of 0 and 1."""
        raise SettingsError(
            f"the method '{self.name}' cannot be trained with a critic",
            key="method",
            found=self.name,
        )

    def losses_and_layers(
        self, network: nn.Module, batch: Batch
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Compute `loss` and `layers` of a batch together."""
        return self.loss(network, batch), self.layers(network, batch.images)

    @abstractmethod
    def detect(self, network: nn.Module, tiles: Tensor) -> list[Candidates]:
        """Detect cells in normalised tiles float32[B, C, h, w]; one entry per tile."""


class DenseMethod(Method):
    """A network combined with a representation: cells are decoded from maps.

    Attributes:
        output_layer: The layer of the network that outputs the maps, with one block of rows per
            map.
        zooms: The enlargements that tuning tries for each cell type; () for none. Only a network
            that knows cells of a single size has any.
        any_size: Whether the sides of tiles may be any multiple of the stride.
    """

    output_layer: ClassVar[str]
    zooms: ClassVar[tuple[float, ...]] = ()
    any_size: bool = True
    representation: Representation

    @property
    def output_maps(self) -> tuple[str, ...]:
        """The maps of the output layer, in order."""
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
        """Compute targets float32[K, h, w]; NaN where the loss ignores them."""
        maps = self.representation.targets(crop.planes, crop.cell_type, crop.diameter, crop.width)
        if self.learns_partly:
            if crop.is_wide:
                maps[list(self.representation.shape_maps)] = np.nan
            if crop.ignored is not None:
                maps[:, crop.ignored] = np.nan
        return maps

    def collate(self, targets: Sequence[Float32]) -> Tensor:
        """Stack the targets into float32[B, K, h, w]."""
        import torch

        return torch.from_numpy(np.stack(targets))

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of the representation."""
        return self.representation.loss(logits=network(batch.images), targets=batch.targets)

    def losses_and_layers(
        self, network: nn.Module, batch: Batch
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Compute losses and layers from one forward pass."""
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
        """Compute activated maps float32[B, K, h, w] of normalised tiles [B, C, h, w]."""
        return self.representation.activate(network(tiles).float())

    def detect(self, network: nn.Module, tiles: Tensor) -> list[Candidates]:
        """Decode each tile by itself; prediction of whole images blends the maps first."""
        maps = self.maps(network, tiles).detach().cpu().numpy()
        return [self.representation.decode(each) for each in maps]
