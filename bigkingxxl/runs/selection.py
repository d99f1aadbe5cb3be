"""The selection of cells from the stored candidates of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.sharpness import OUT_OF_FOCUS, is_out_of_focus
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances, PixelSize
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints


@dataclass(frozen=True)
class Selection:
    """How stored candidates become instances.

    Attributes:
        points: The operating points.
        cell_type: The cell type of the images, if known.
        min_score: Replaces the score thresholds of the operating points.
        min_area: In pixels of the image; replaces the minimum areas of the operating points.
        exclude_border: Whether to drop cells that touch the border of the image.
    """

    points: OperatingPoints
    cell_type: str | None = None
    min_score: float | None = None
    min_area: float | None = None
    exclude_border: bool = False
    keep_blurred: bool = False

    def check(self, dashes: str = "") -> None:
        """Refuse invalid values.

        Raises:
            InputError: A value is invalid; the message names it with the given prefix.
        """
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            name = f"{dashes}min-score" if dashes else "min_score"
            raise InputError(
                f"{name} is {self.min_score}, expected 0 to 1", key=name, found=self.min_score
            )
        if self.min_area is not None and not 0 <= self.min_area < math.inf:
            name = f"{dashes}min-area" if dashes else "min_area"
            raise InputError(
                f"{name} is {self.min_area}, expected pixels, 0 or more",
                key=name,
                found=self.min_area,
            )

    def instances(self, candidates: Candidates, pixel_size: PixelSize | None) -> Instances:
        """Select the cells of an image."""
        points = self._points(candidates.scale_ratio)
        cells = select(candidates, points, cell_type=self.cell_type, pixel_size_um=pixel_size)
        if not self.exclude_border:
            return cells
        return cells.take(inside_border(cells))

    def cells_of(
        self, source: ImageSource, candidates: Candidates
    ) -> tuple[Instances, tuple[str, ...]]:
        """Select the cells of an image; also return a sentence if they are left out as blurred."""
        cells = self.instances(candidates, source.pixel_size_um)
        if self.keep_blurred or not is_out_of_focus(source, cells):
            return cells, ()
        return cells.take(np.zeros(0, np.int64)), (blurred_sentence(len(cells)),)

    def minimum_areas(self, cells: Instances, ratio: float) -> NDArray[np.float64]:
        """Return the area in pixels of the image below which each cell is dropped, float64[N]."""
        points = self._points(ratio)
        areas = [points.of(name).select.minimum_area / ratio**2 for name in cells.type_names]
        return np.maximum(np.array(areas, np.float64), 1)[cells.cell_type]

    def _points(self, ratio: float) -> OperatingPoints:
        """Return the operating points with the requested changes."""
        if self.min_score is None and self.min_area is None:
            return self.points
        return self.points.each(lambda point: self._changed(point, ratio))

    def _changed(self, point: OperatingPoint, ratio: float) -> OperatingPoint:
        changes = {}
        if self.min_score is not None:
            changes["score_threshold"] = self.min_score
        if self.min_area is not None:
            # Areas are integers; the midpoint between two makes the comparison independent of
            # rounding.
            least = max(math.ceil(self.min_area) - 0.5, 0.0)
            changes["minimum_area"] = least * ratio**2
        return point.changed(select=point.select.changed(**changes).model_dump())


def blurred_sentence(shapes: int) -> str:
    """Why an image has no cells although the model outlined some."""
    outlined = "1 blurred shape was" if shapes == 1 else f"{shapes:,} blurred shapes were"
    return (
        f"{OUT_OF_FOCUS}, so that {outlined} not counted as cells: look at it, and "
        "predict with --keep-blurred (in Python keep_blurred=True) if they are"
    )


def inside_border(cells: Instances) -> NDArray[np.int64]:
    """Return the indices of the cells that do not touch the border of the image."""
    boxes = cells.boxes()
    inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < np.array(cells.size)).all(axis=1)
    return np.flatnonzero(inside)


@dataclass(frozen=True)
class _Stored(Selection):
    """Selects nothing, because the cells are stored."""

    def instances(
        self,
        candidates: Candidates,  # noqa: ARG002
        pixel_size: PixelSize | None,  # noqa: ARG002
    ) -> Instances:
        """See `Selection`.

        Raises:
            FormatError: Always, because the stored cells are missing.
        """
        raise FormatError("its stored cells are gone or damaged: predict it again")


STORED = _Stored(OperatingPoints())  # for measuring cells that were selected before
