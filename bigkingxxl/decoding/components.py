"""Connected components: one foreground map per cell type; each component is a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigkingxxl.candidates import Candidates
from bigkingxxl.decoding.base import Channel, Float32, Representation
from bigkingxxl.decoding.losses import binary_cross_entropy, dice
from bigkingxxl.decoding.scores import scored_candidates
from bigkingxxl.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


class ComponentsSettings(Settings):
    """The weights of the losses.

    Attributes:
        dice_weight: The weight of the Dice loss relative to the cross-entropy.
    """

    dice_weight: float = Field(1.0, ge=0, le=1e6)


class ComponentsParameters(Settings):
    """The parameters of decoding.

    Attributes:
        foreground_threshold: Pixels with a higher probability belong to cells.
        minimum_area: In pixels; smaller components are discarded.
    """

    foreground_threshold: float = Field(0.5, gt=0, lt=1)
    minimum_area: int = Field(10, ge=0)


class Components(Representation):
    """One foreground map per cell type, as in the team's U-Net; touching cells merge."""

    name: ClassVar[str] = "components"
    Parameters: ClassVar[type[Settings]] = ComponentsParameters
    Settings: ClassVar[type[Settings]] = ComponentsSettings
    areas: ClassVar[tuple[str, ...]] = ("minimum_area",)
    decode_grid: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "foreground_threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
    }

    @property
    def channels(self) -> tuple[Channel, ...]:
        """One foreground map per cell type."""
        return tuple(Channel(f"foreground_{name}") for name in self.type_names)

    def targets(
        self,
        planes: NDArray[np.int32],
        cell_type: NDArray[np.int16],
        diameter: Float32 | None = None,  # noqa: ARG002 (no map of sizes here)
        width: Float32 | None = None,  # noqa: ARG002
    ) -> Float32:
        """Compute targets, 1 where a cell of the type lies; see `Representation.targets`."""
        return foreground_targets(planes, cell_type, len(self.type_names))

    def loss(self, *, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compute the cross-entropy and Dice loss of the foreground maps."""
        return foreground_loss(self.settings.dice_weight, logits=logits, targets=targets)

    def type_layers(self, maps: Tensor) -> Tensor:
        """See `Representation.type_layers`."""
        return maps

    def decode(self, maps: Float32, parameters: Mapping[str, Any] | None = None) -> Candidates:
        """See `Representation.decode`."""
        from skimage.measure import label

        settings = self.parameters(parameters)
        foreground = merged_foreground(maps)
        cells = label(foreground > settings.foreground_threshold, connectivity=1)
        cells = without_small(cells.astype(np.int32), settings.minimum_area)
        return scored_candidates(cells, foreground, None, maps, self.type_names)

    def type_weights(self, maps: Float32) -> Float32 | None:
        """See `Representation.type_weights`."""
        return foreground_type_weights(maps)


def foreground_targets(
    planes: NDArray[np.int32], cell_type: NDArray[np.int16], types: int
) -> Float32:
    """Compute foreground targets, float32[T, h, w], of label planes int32[L, h, w]."""
    type_of_label = np.concatenate(([-1], cell_type)).astype(np.int16)
    kinds = type_of_label[planes]
    layers = [(kinds == index).any(axis=0) for index in range(types)]
    return np.stack(layers).astype(np.float32)


def foreground_loss(dice_weight: float, *, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Compute cross-entropy plus Dice loss of foreground maps float[B, T, h, w]."""
    entropy = binary_cross_entropy(logits=logits, targets=targets)
    overlap = dice(logits=logits, targets=targets)
    return {"loss": entropy + dice_weight * overlap, "cross_entropy": entropy, "dice": overlap}


def merged_foreground(layers: Float32) -> Float32:
    """Return the foreground of any type, float32[h, w]: the sum over mutually exclusive types."""
    total: Float32 = np.minimum(layers.sum(axis=0), 1).astype(np.float32)
    return total


def foreground_type_weights(layers: Float32) -> Float32:
    """Return the total foreground of each type where any cell is found, float32[T]."""
    seen = merged_foreground(layers) > 0.5
    weights: Float32 = layers[:, seen].sum(axis=1).astype(np.float32)
    return weights


def without_small(label_map: NDArray[np.int32], minimum_area: int) -> NDArray[np.int32]:
    """Drop labels with fewer pixels and renumber the rest 1 .. N: int32[h, w]."""
    area = np.bincount(label_map.ravel())
    keep = area >= max(minimum_area, 1)
    keep[0] = False
    new = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return new[label_map]
