"""How the stored candidates of a run become cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances, PixelSize
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints


@dataclass(frozen=True)
class Selection:
    """How stored candidates become instances.

    Attributes:
        points: the operating points; cell_type: where it is known.
        min_score: in the place of the points' score thresholds.
        min_area: in pixels of the image, in the place of the points' minimum areas.
        exclude_border: leave out cells that touch the border of the image.
    """

    points: OperatingPoints
    cell_type: str | None = None
    min_score: float | None = None
    min_area: float | None = None
    exclude_border: bool = False

    def check(self, dashes: str = "") -> None:
        """Refuse values that mean nothing.

        Raises:
            InputError: naming the value, with dashes before it.
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
        """The cells of one image."""
        points = self._points(candidates.scale_ratio)
        cells = select(candidates, points, cell_type=self.cell_type, pixel_size_um=pixel_size)
        if not self.exclude_border:
            return cells
        return cells.take(inside_border(cells))

    def minimum_areas(self, cells: Instances, ratio: float) -> NDArray[np.float64]:
        """float64[N]: the area in pixels of the image below which each of some cells is dropped."""
        points = self._points(ratio)
        areas = [points.of(name).select.minimum_area / ratio**2 for name in cells.type_names]
        return np.maximum(np.array(areas, np.float64), 1)[cells.cell_type]

    def _points(self, ratio: float) -> OperatingPoints:
        """The operating points, changed as is asked for."""
        if self.min_score is None and self.min_area is None:
            return self.points
        return self.points.each(lambda point: self._changed(point, ratio))

    def _changed(self, point: OperatingPoint, ratio: float) -> OperatingPoint:
        changes = {}
        if self.min_score is not None:
            changes["score_threshold"] = self.min_score
        if self.min_area is not None:
            # Areas are whole numbers; halfway between two, rounding decides nothing.
            least = max(math.ceil(self.min_area) - 0.5, 0.0)
            changes["minimum_area"] = least * ratio**2
        return point.changed(select=point.select.changed(**changes).model_dump())


def inside_border(cells: Instances) -> NDArray[np.int64]:
    """The indices of the cells that do not touch the border of the image."""
    boxes = cells.boxes()
    inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < np.array(cells.size)).all(axis=1)
    return np.flatnonzero(inside)


@dataclass(frozen=True)
class _Stored(Selection):
    """Selects nothing: the cells are stored."""

    def instances(
        self,
        candidates: Candidates,  # noqa: ARG002
        pixel_size: PixelSize | None,  # noqa: ARG002
    ) -> Instances:
        """See `Selection`.

        Raises:
            FormatError: always, as the stored cells are not there.
        """
        raise FormatError("its stored cells are gone or damaged: predict it again")


STORED = _Stored(OperatingPoints())  # of who measures again what was selected before
