"""The few parameters of decoding maps and of selecting cells, one set per cell type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from bigkingxxl.settings import Settings

TypeVote = Literal["image", "cell"]
ZOOM = "zoom"  # among decoding parameters: images of the type are seen so much larger than others


class SelectionParameters(Settings):
    """How candidates of one cell type become instances.

    Attributes:
        mask_threshold: soft mask above it is cell.
        score_threshold: candidates below it are dropped.
        nms_iou: of two masks that overlap more, the lower score is dropped.
        minimum_area: in pixels of the training images; smaller cells are dropped.
    """

    mask_threshold: float = Field(0.5, gt=0, lt=1)
    score_threshold: float = Field(0.3, ge=0, le=1)
    nms_iou: float = Field(0.5, ge=0, le=1)
    minimum_area: float = Field(20.0, ge=0, le=1e9)


class OperatingPoint(Settings):
    """All parameters of one cell type.

    Attributes:
        decode: for dense methods, checked by the representation, but for 'zoom': how many times
            larger than at the prediction's scale the network sees images of the type.
    """

    decode: dict[str, Any] = Field(default_factory=dict)
    select: SelectionParameters = SelectionParameters()

    @field_validator("decode")
    @classmethod
    def _zoom_is_a_number(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        zoom = parameters.get(ZOOM, 1.0)
        if not isinstance(zoom, int | float) or not 0 < zoom < float("inf"):
            raise ValueError(f"'{ZOOM}' is {zoom!r}, expected a number above 0")
        for name, value in parameters.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"'{name}' is {value}, expected a finite number")
        return parameters


def without_zoom(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The decoding parameters that are the representation's own."""
    return {name: value for name, value in parameters.items() if name != ZOOM}


class OperatingPoints(Settings):
    """An operating point for each cell type, and one for types that have none of their own.

    Attributes:
        by_type: cell type name to its operating point.
        default: for every other type.
        type_vote: 'image' where all cells of an image share one type (the challenge), else 'cell'.
        tuned_on: ids of the images the parameters were chosen on (empty: never tuned).
    """

    by_type: dict[str, OperatingPoint] = Field(default_factory=dict)
    default: OperatingPoint = OperatingPoint()
    type_vote: TypeVote = "image"
    tuned_on: tuple[str, ...] = ()

    def of(self, cell_type: str | None) -> OperatingPoint:
        """The operating point of a cell type (None: unknown)."""
        return self.by_type.get(cell_type or "", self.default)

    def each(self, change: Callable[[OperatingPoint], OperatingPoint]) -> OperatingPoints:
        """A copy with every type's operating point, and the default, changed."""
        by_type = {name: change(own).model_dump() for name, own in self.by_type.items()}
        return self.changed(default=change(self.default).model_dump(), by_type=by_type)
