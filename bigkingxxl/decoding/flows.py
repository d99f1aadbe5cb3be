"""Flows: foreground, a vector field towards the centre of each cell, and cell types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigkingxxl.candidates import Candidates
from bigkingxxl.decoding.base import SIZE_UNIT, Channel, Float32, Representation
from bigkingxxl.decoding.flow_masks import cells_from_flows
from bigkingxxl.decoding.flow_targets import plane_flows
from bigkingxxl.decoding.losses import binary_cross_entropy, dice, gaps, known_mean
from bigkingxxl.decoding.scores import scored_candidates
from bigkingxxl.distributed_sums import over_devices
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


class FlowsSettings(Settings):
    """The channels that are predicted, and the weights of the losses.

    Attributes:
        boundary: Add a map of the cells' boundary pixels. It teaches the network where cells touch;
            decoding does not use it.
        size: Add a map of the diameter of the cell at each of its pixels (see `SIZE_UNIT`), from
            which prediction measures the size of cells in an image.
        width: Add a map of the width of the cell (see `bigkingxxl.cell_widths`), from which
            prediction chooses the scale of an image.
        flow_scale: The factor on flows in the loss (Cellpose: 5), relative to the foreground.
        dice_weight: The weight of the foreground's Dice loss relative to its cross-entropy.
        type_weight: The weight of the cross-entropy of the cell types.
        boundary_weight: The weight of the boundary loss.
        size_weight: The weight of the losses of size and width.
    """

    boundary: bool = False
    size: bool = False
    width: bool = False
    flow_scale: float = Field(5.0, gt=0, le=1e6)
    dice_weight: float = Field(1.0, ge=0, le=1e6)
    type_weight: float = Field(1.0, ge=0, le=1e6)
    boundary_weight: float = Field(1.0, ge=0, le=1e6)
    size_weight: float = Field(0.5, ge=0, le=1e6)


class FlowsParameters(Settings):
    """The parameters of decoding.

    Attributes:
        foreground_threshold: Pixels with a higher probability follow the flows.
        flow_error: Cells are discarded if the mean squared difference between their own flows and
            the predicted ones is larger; 4 keeps all.
        minimum_area: In pixels; smaller cells are discarded.
        steps: The number of steps, each one pixel long where the network is certain.
    """

    foreground_threshold: float = Field(0.5, gt=0, lt=1)
    flow_error: float = Field(0.4, gt=0, le=1e6)
    minimum_area: int = Field(15, ge=0)
    steps: int = Field(200, ge=1, le=100_000)


class Flows(Representation):
    """The representation of Cellpose, with a layer per cell type.

    The channels are one foreground map; the row and column component of unit vectors towards the
    cell's centre; for two or more cell types a layer each, with a softmax over types; and optional
    further maps. Where annotated cells overlap, the targets are those of the smaller cell.

    Source: Stringer et al. 2021, Cellpose.
    """

    name: ClassVar[str] = "flows"
    Parameters: ClassVar[type[Settings]] = FlowsParameters
    Settings: ClassVar[type[Settings]] = FlowsSettings
    learns_untyped: ClassVar[bool] = True
    learns_partly: ClassVar[bool] = True
    warps: ClassVar[bool] = True
    lengths: ClassVar[tuple[str, ...]] = ("steps",)
    areas: ClassVar[tuple[str, ...]] = ("minimum_area",)
    unfiltered: ClassVar[Mapping[str, float]] = {"flow_error": 1.0}
    decode_grid: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "foreground_threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
        "flow_error": (0.2, 0.4, 0.6, 0.8, 1.2),
    }

    @property
    def channels(self) -> tuple[Channel, ...]:
        """foreground, flow_row, flow_column, type_<name> (for several types), optional maps."""
        names = self.type_names if self._types else ()
        types = tuple(Channel(f"type_{name}", activation="softmax") for name in names)
        boundary = (Channel("boundary"),) if self.settings.boundary else ()
        sizes = [
            Channel(name, "log_length", "identity")
            for name in ("size", "width") if getattr(self.settings, name)
        ]  # fmt: skip
        return (
            Channel("foreground"),
            Channel("flow_row", "row", "identity"),
            Channel("flow_column", "column", "identity"),
            *types,
            *boundary,
            *sizes,
        )

    @property
    def shape_maps(self) -> tuple[int, ...]:
        """The flows; see `Representation.shape_maps`."""
        return (1, 2)

    @property
    def size_map(self) -> int | None:
        """See `Representation.size_map`."""
        return self._place("size") if self.settings.size else None

    @property
    def width_map(self) -> int | None:
        """See `Representation.width_map`."""
        return self._place("width") if self.settings.width else None

    def _place(self, name: str) -> int:
        return [channel.name for channel in self.channels].index(name)

    @property
    def _boundary(self) -> int:
        """The index of the boundary map."""
        return self._place("boundary")

    @property
    def _types(self) -> slice | None:
        """The indices of the type layers, or None for a single type."""
        return slice(3, 3 + len(self.type_names)) if len(self.type_names) > 1 else None

    def targets(
        self,
        planes: NDArray[np.int32],
        cell_type: NDArray[np.int16],
        diameter: Float32 | None = None,
        width: Float32 | None = None,
    ) -> Float32:
        """Compute targets; see `Representation.targets`. Flows have length 1."""
        maps = np.zeros((len(self.channels), *planes.shape[1:]), np.float32)
        maps[1:3], top = plane_flows(planes)
        maps[0] = top > 0
        if self._types is not None:
            kinds = np.concatenate(([-1], cell_type)).astype(np.int16)[top]
            maps[self._types] = kinds == np.arange(len(self.type_names))[:, None, None]
        if self.settings.boundary:
            maps[self._boundary] = boundary(top)
        if self.size_map is not None:
            if diameter is None:
                diameter = disc_diameter(np.bincount(top.ravel())[1:]).astype(np.float32)
            maps[self.size_map] = log_lengths(diameter, top)
        if self.width_map is not None:
            maps[self.width_map] = np.nan if width is None else log_lengths(width, top)
        return maps

    def loss(self, *, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compute the losses of foreground, flows, types, sizes and boundary.

        Flows count at every pixel; types and sizes count on the foreground. Pixels whose target is
        NaN are ignored.
        """
        settings = self.settings
        entropy = binary_cross_entropy(logits=logits[:, :1], targets=targets[:, :1])
        overlap = dice(logits=logits[:, :1], targets=targets[:, :1])
        gap = settings.flow_scale * gaps(logits=logits[:, 1:3], targets=targets[:, 1:3])
        flow = known_mean(gap.square(), targets=targets[:, 1:3]) / 2
        losses = {"cross_entropy": entropy, "dice": overlap, "flow": flow}
        total = entropy + settings.dice_weight * overlap + flow
        if self._types is not None:
            losses["type"] = type_cross_entropy(
                logits=logits[:, self._types], targets=targets[:, self._types]
            )
            total = total + settings.type_weight * losses["type"]
        if settings.boundary:
            losses["boundary"] = binary_cross_entropy(
                logits=logits[:, self._boundary, None], targets=targets[:, self._boundary, None]
            )
            total = total + settings.boundary_weight * losses["boundary"]
        for name, place in (("size", self.size_map), ("width", self.width_map)):
            if place is not None:
                gap = gaps(logits=logits[:, place], targets=targets[:, place])
                losses[name] = known_mean(gap.abs(), targets=targets[:, place])
                total = total + settings.size_weight * losses[name]
        return {"loss": total, **losses}

    def type_layers(self, maps: Tensor) -> Tensor:
        """See `Representation.type_layers`."""
        return maps[:, :1] if self._types is None else maps[:, :1] * maps[:, self._types]

    def decode(self, maps: Float32, parameters: Mapping[str, Any] | None = None) -> Candidates:
        """Decode maps; the score is the mean foreground times one minus the flow error."""
        settings = self.parameters(parameters)
        cells = cells_from_flows(
            maps[1:3],
            maps[0] > settings.foreground_threshold,
            steps=settings.steps,
            flow_error=settings.flow_error,
            minimum_area=settings.minimum_area,
        )
        types = np.ones_like(maps[:1]) if self._types is None else maps[self._types]
        return scored_candidates(cells.label_map, maps[0], 1 - cells.error, types, self.type_names)

    def type_weights(self, maps: Float32) -> Float32 | None:
        """Return the type weights; None if there is no foreground."""
        seen = maps[0] > 0.5
        if self._types is None or not seen.any():
            return None
        weights: Float32 = (maps[self._types][:, seen] * maps[0][seen]).sum(axis=1)
        return weights.astype(np.float32)


def log_lengths(lengths: Float32, top: NDArray[np.int32]) -> Float32:
    """Compute log2(length / SIZE_UNIT) of the topmost cell, float32[h, w]; NaN without a cell.

    Args:
        lengths: float32[N], a length of each cell in pixels.
        top: int32[h, w]; cell i has the label i + 1.
    """
    values = np.log2(np.maximum(lengths, 1e-3) / SIZE_UNIT)
    # The label 0, the background, indexes the leading NaN.
    return np.concatenate(([np.nan], values)).astype(np.float32)[top]


def type_cross_entropy(*, logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean cross-entropy of the cell type over the pixels that have one.

    Args:
        logits: float[B, T, h, w].
        targets: float32[B, T, h, w], one-hot; all 0 in the background and NaN where the image is
            not annotated.
    """
    from torch.nn import functional

    targets = targets.nan_to_num()
    surprise = -(targets * functional.log_softmax(logits.float(), dim=1)).sum()
    return over_devices(surprise) / over_devices(targets.sum()).clamp(min=1)


def boundary(label_map: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the pixels of cells that are adjacent to another label or background, bool[h, w]."""
    edge = np.zeros(label_map.shape, bool)
    for axis in (0, 1):
        differs = np.diff(label_map, axis=axis) != 0
        low, high = [slice(None)] * 2, [slice(None)] * 2
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        edge[tuple(low)] |= differs
        edge[tuple(high)] |= differs
    result: NDArray[np.bool_] = edge & (label_map > 0)
    return result
