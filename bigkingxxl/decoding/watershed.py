"""Seeded watershed: the distance to a cell's own boundary separates touching cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigkingxxl.candidates import Candidates
from bigkingxxl.decoding.base import Channel, Float32, Representation
from bigkingxxl.decoding.components import (
    ComponentsSettings,
    foreground_loss,
    foreground_targets,
    foreground_type_weights,
    merged_foreground,
    without_small,
)
from bigkingxxl.decoding.losses import binary_cross_entropy
from bigkingxxl.decoding.scores import label_means, scored_candidates
from bigkingxxl.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


class WatershedSettings(ComponentsSettings):
    """The weights of the losses.

    Attributes:
        distance_weight: The weight of the loss of the distance map.
    """

    distance_weight: float = Field(2.0, ge=0, le=1e6)


class WatershedParameters(Settings):
    """The parameters of decoding.

    Attributes:
        foreground_threshold: Pixels with a higher probability belong to cells.
        seed_threshold: The seed of a cell is where its distance map exceeds this value.
        smoothing: The standard deviation, in pixels, of the blur before seeds are detected.
        minimum_area: In pixels; smaller cells are discarded.
    """

    foreground_threshold: float = Field(0.5, gt=0, lt=1)
    seed_threshold: float = Field(0.5, gt=0, lt=1)
    smoothing: float = Field(1.0, ge=0, le=1000)
    minimum_area: int = Field(10, ge=0)


class Watershed(Representation):
    """One foreground map per cell type, and a distance map: 0 at a cell's boundary, 1 at its core.

    The distance is normalised for each cell, so that a seed threshold means the same for a neurite
    as for a flat astrocyte.
    """

    name: ClassVar[str] = "watershed"
    Parameters: ClassVar[type[Settings]] = WatershedParameters
    Settings: ClassVar[type[Settings]] = WatershedSettings
    lengths: ClassVar[tuple[str, ...]] = ("smoothing",)
    areas: ClassVar[tuple[str, ...]] = ("minimum_area",)
    decode_grid: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "foreground_threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
        "seed_threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
        "smoothing": (0.0, 1.0, 2.0, 3.0),
    }

    @property
    def channels(self) -> tuple[Channel, ...]:
        """One foreground map per cell type, then the distance map."""
        return (*(Channel(f"foreground_{name}") for name in self.type_names), Channel("distance"))

    def targets(
        self,
        planes: NDArray[np.int32],
        cell_type: NDArray[np.int16],
        diameter: Float32 | None = None,  # noqa: ARG002 (no map of sizes here)
        width: Float32 | None = None,  # noqa: ARG002
    ) -> Float32:
        """See `Representation.targets`."""
        foreground = foreground_targets(planes, cell_type, len(self.type_names))
        return np.concatenate((foreground, cell_distance(planes)[None]))

    def loss(self, *, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compute the losses of the foreground and the cross-entropy of the distance map."""
        losses = foreground_loss(
            self.settings.dice_weight, logits=logits[:, :-1], targets=targets[:, :-1]
        )
        distance = binary_cross_entropy(logits=logits[:, -1:], targets=targets[:, -1:])
        total = losses["loss"] + self.settings.distance_weight * distance
        return {**losses, "loss": total, "distance": distance}

    def type_layers(self, maps: Tensor) -> Tensor:
        """See `Representation.type_layers`."""
        return maps[:, :-1]

    def decode(self, maps: Float32, parameters: Mapping[str, Any] | None = None) -> Candidates:
        """See `Representation.decode`."""
        settings = self.parameters(parameters)
        foreground, distance = merged_foreground(maps[:-1]), maps[-1]
        cells = flood(foreground > settings.foreground_threshold, distance, settings)
        cells = without_small(cells, settings.minimum_area)
        own = cell_distance(cells[None])
        error = label_means(cells, np.abs(own - distance), int(cells.max(initial=0)))
        return scored_candidates(cells, foreground, 1 - error, maps[:-1], self.type_names)

    def type_weights(self, maps: Float32) -> Float32 | None:
        """See `Representation.type_weights`."""
        return foreground_type_weights(maps[:-1])


def cell_distance(planes: NDArray[np.int32]) -> Float32:
    """Compute the distance to the cell's own boundary, divided by its maximum: float32[h, w].

    Args:
        planes: int32[L, h, w] label planes; where cells overlap, the smaller value is used.
    """
    result = np.zeros(planes.shape[1:], np.float32)
    for plane in planes:
        own = _plane_distance(plane)
        both = (result > 0) & (own > 0)
        result = np.where(both, np.minimum(result, own), np.maximum(result, own))
    return result


def _plane_distance(plane: NDArray[np.int32]) -> Float32:
    from scipy import ndimage

    if not plane.any():
        return np.zeros(plane.shape, np.float32)
    inside = plane > 0
    core = inside.copy()
    # Boundary pixels are those next to another label, so touching cells are separated as well.
    for axis in (0, 1):
        differs = np.diff(plane, axis=axis) != 0
        low, high = [slice(None)] * 2, [slice(None)] * 2
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        core[tuple(low)] &= ~differs
        core[tuple(high)] &= ~differs
    distance = np.zeros(plane.shape, np.float32)
    if core.any():
        distance[:] = ndimage.distance_transform_edt(core)
    distance[inside] += 1
    largest = np.zeros(int(plane.max()) + 1, np.float32)
    np.maximum.at(largest, plane[inside], distance[inside])
    return (distance / np.maximum(largest[plane], 1)).astype(np.float32)


def flood(
    foreground: NDArray[np.bool_], distance: Float32, settings: WatershedParameters
) -> NDArray[np.int32]:
    """Segment cells by watershed from the seeds; a component without a seed is a cell as well."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    if not foreground.any():
        return np.zeros(foreground.shape, np.int32)
    smooth = ndimage.gaussian_filter(distance, settings.smoothing)
    seeds, count = ndimage.label((smooth > settings.seed_threshold) & foreground)
    cells: NDArray[np.int32] = watershed(-smooth, seeds, mask=foreground).astype(np.int32)
    rest, _ = ndimage.label(foreground & (cells == 0))
    return np.where(rest > 0, rest + count, cells).astype(np.int32)
