"""Operating points: the parameters of decoding and of selecting cells, one set per cell type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from bigkingxxl.settings import Settings

TypeVote = Literal["image", "cell"]
# A decoding parameter: the enlargement of images of this type relative to other images.
ZOOM = "zoom"


class SelectionParameters(Settings):
    """The parameters that select instances from the candidates of one cell type.

    Attributes:
        mask_threshold: Pixels with a higher probability belong to the cell.
        score_threshold: Candidates with a lower score are discarded.
        nms_iou: Of two masks with a higher IoU, the one with the lower score is discarded.
        minimum_area: In pixels of the training images; smaller cells are discarded.
    """

    mask_threshold: float = Field(0.5, gt=0, lt=1)
    score_threshold: float = Field(0.3, ge=0, le=1)
    nms_iou: float = Field(0.5, ge=0, le=1)
    minimum_area: float = Field(20.0, ge=0, le=1e9)


class OperatingPoint(Settings):
    """All parameters of one cell type.

    Attributes:
        decode: The decoding parameters of a dense method, validated by its representation. In
            addition, 'zoom' is the enlargement of images of this type relative to the model's
            scale.
        select: The selection parameters.
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
    """Return the decoding parameters that belong to the representation."""
    return {name: value for name, value in parameters.items() if name != ZOOM}


class OperatingPoints(Settings):
    """The operating point of each cell type, and a default for other types.

    Attributes:
        by_type: The operating point by the name of the cell type.
        default: The operating point of every other type.
        type_vote: 'image' if all cells of an image share one type (as in the challenge), else
            'cell'.
        tuned_on: The ids of the images on which the parameters were tuned; empty if never tuned.
    """

    by_type: dict[str, OperatingPoint] = Field(default_factory=dict)
    default: OperatingPoint = OperatingPoint()
    type_vote: TypeVote = "image"
    tuned_on: tuple[str, ...] = ()

    def of(self, cell_type: str | None) -> OperatingPoint:
        """Return the operating point of a cell type; None stands for an unknown type."""
        return self.by_type.get(cell_type or "", self.default)

    def each(self, change: Callable[[OperatingPoint], OperatingPoint]) -> OperatingPoints:
        """Return a copy in which the operating point of each type, and the default, is changed."""
        by_type = {name: change(own).model_dump() for name, own in self.by_type.items()}
        return self.changed(default=change(self.default).model_dump(), by_type=by_type)
