"""Seeded watershed: the distance to a cell's own border parts cells that touch."""

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
    """Weights of the losses.

    Attributes:
        distance_weight: of the distance map's loss.
    """

    distance_weight: float = Field(2.0, ge=0, le=1e6)


class WatershedParameters(Settings):
    """How cells are flooded.

    Attributes:
        foreground_threshold: maps above it are cell.
        seed_threshold: a cell's seed is where its distance map lies above it.
        smoothing: standard deviation in pixels of the blur before seeds are sought.
        minimum_area: smaller cells are dropped, in pixels.
    """

    foreground_threshold: float = Field(0.5, gt=0, lt=1)
    seed_threshold: float = Field(0.5, gt=0, lt=1)
    smoothing: float = Field(1.0, ge=0, le=1000)
    minimum_area: int = Field(10, ge=0)


class Watershed(Representation):
    """Foreground a cell type and one map of distances, 0 at a cell's border and 1 at its core.

    The distance is normalised cell by cell, so that a seed threshold means the same for a neurite
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
        """A foreground map for each cell type, then the distance map."""
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
        """The foreground's losses and the cross-entropy of the distance map, itself a fraction."""
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
    """float32[h, w]: distance to the cell's own border over the cell's largest, 0 outside.

    Args:
        planes: int32[L, h, w] label planes; where cells overlap the smaller value stands.
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
    # A cell's border pixels are those beside another label, so touching cells part here as well.
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
    """int32[h, w] cells: watershed from the cores; foreground without a core is a cell as it is."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    if not foreground.any():
        return np.zeros(foreground.shape, np.int32)
    smooth = ndimage.gaussian_filter(distance, settings.smoothing)
    seeds, count = ndimage.label((smooth > settings.seed_threshold) & foreground)
    cells: NDArray[np.int32] = watershed(-smooth, seeds, mask=foreground).astype(np.int32)
    rest, _ = ndimage.label(foreground & (cells == 0))
    return np.where(rest > 0, rest + count, cells).astype(np.int32)
