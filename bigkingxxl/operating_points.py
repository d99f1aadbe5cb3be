"""From candidates to instances and from maps to candidates: the few knobs, one set a cell type."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bigkingxxl.settings import Settings

TypeVote = Literal["image", "cell"]


class SelectKnobs(Settings):
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
    minimum_area: float = Field(20.0, ge=0)


class OperatingPoint(Settings):
    """All knobs of one cell type: `decode` for dense methods (checked by the representation)."""

    decode: dict[str, Any] = Field(default_factory=dict)
    select: SelectKnobs = SelectKnobs()


class OperatingPoints(Settings):
    """An operating point for each cell type, and one for types that have none of their own.

    Attributes:
        by_type: cell type name to its operating point.
        default: for every other type.
        type_vote: 'image' where all cells of an image share one type (the challenge), else 'cell'.
        tuned_on: ids of the images the knobs were chosen on (empty: never tuned).
    """

    by_type: dict[str, OperatingPoint] = Field(default_factory=dict)
    default: OperatingPoint = OperatingPoint()
    type_vote: TypeVote = "image"
    tuned_on: tuple[str, ...] = ()

    def of(self, cell_type: str | None) -> OperatingPoint:
        """The operating point of a cell type (None: unknown)."""
        return self.by_type.get(cell_type or "", self.default)
