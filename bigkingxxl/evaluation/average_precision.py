"""COCO's average precision and recall of scored masks, which may overlap.

This is the standard evaluation (Lin et al. 2014) as in pycocotools, but with more than COCO's 100
detections per image, which hide most cells of a dense field. Areas are those of the masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.ranking import AREAS, Ranked, curves, places, ranked
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.coco import masks_of
from bigkingxxl.overlaps import Overlaps, overlaps

COCO_LAYOUT_DETECTIONS = (100, 300, 1000)
ALL_DETECTIONS = 2000
MAX_DETECTIONS = (*COCO_LAYOUT_DETECTIONS, ALL_DETECTIONS)
# COCO's twelve rows, except the three AR with other limits: AR is computed at every limit instead.
LAYOUT: tuple[tuple[str, int | None, str], ...] = (
    ("AP", None, "all"),
    ("AP", 50, "all"),
    ("AP", 75, "all"),
    *(("AP", None, area) for area in AREAS[1:]),
    *(("AR", None, area) for area in AREAS),
)
NO_OVERLAPS = Overlaps(*(np.zeros(0, np.int64) for _ in range(3)))


class CocoRow(NamedTuple):
    """One row of COCO's table.

    Attributes:
        metric: 'AP' or 'AR'.
        iou: 50 or 75 per cent, or None for the mean over 50, 55 ... 95.
        area: 'all', 'small' (up to 32 x 32 pixels), 'medium' (up to 96 x 96) or 'large'.
        max_detections: The number of an image's detections of a type that count, by score.
        value: The value, or None if it is undefined.
    """

    metric: str
    iou: int | None
    area: str
    max_detections: int
    value: float | None

    def __str__(self) -> str:
        name = {"AP": "Average Precision  (AP)", "AR": "Average Recall     (AR)"}[self.metric]
        iou = "0.50:0.95" if self.iou is None else f"{self.iou / 100:.2f}"
        value = "-1.000" if self.value is None else f"{self.value:0.3f}"
        what = f"IoU={iou:<9} | area={self.area:>6s} | maxDets={self.max_detections:>4d}"
        return f"{name} @[ {what} ] = {value}"


def label(metric: str, iou: int | None, area: str) -> str:
    """Return a short label of a row, such as 'AP50' or 'AR, small cells'."""
    name = metric if iou is None else f"{metric}{iou}"
    return name if area == "all" else f"{name}, {area} cells"


@dataclass(frozen=True, eq=False)
class CocoTable:
    """COCO's table at 100, 300 and 1,000 detections, and AP at 2,000.

    Attributes:
        rows: All rows; see `value`.
        by_type: AP at 2,000 detections of each cell type; None for a type that no image shows.
        class_aware: False if types were ignored, because there is only one or the predictions have
            none.
        typed_truth: Whether the annotations have several types.
        images: The number of images.
        cells: The number of annotated cells.
        detections: The number of detections.
        scored: False if the predictions have no scores, so that all count as equal.
    """

    rows: tuple[CocoRow, ...]
    by_type: dict[str, float | None]
    class_aware: bool
    typed_truth: bool
    images: int
    cells: int
    detections: int
    scored: bool

    def value(
        self,
        metric: str = "AP",
        iou: int | None = None,
        area: str = "all",
        max_detections: int = ALL_DETECTIONS,
    ) -> float | None:
        """Return one value of the table.

        Raises:
            KeyError: The table has no such row.
        """
        wanted = (metric, iou, area, max_detections)
        for row in self.rows:
            if row[:4] == wanted:
                return row.value
        raise KeyError(wanted)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "rows": [row._asdict() for row in self.rows],
            "ap_by_type": self.by_type,
            "class_aware": self.class_aware,
            "images": self.images,
            "cells": self.cells,
            "detections": self.detections,
            "detections_have_scores": self.scored,
        }


def coco_table(
    truth: Mapping[str, Instances], predicted: Mapping[str, Candidates | Instances]
) -> CocoTable:
    """Evaluate scored masks against annotated cells.

    Args:
        truth: The annotated cells of each image.
        predicted: The candidates of each image (thresholded at a probability of 0.5) or its scored
            masks. A missing image has no detections; an image that is not in `truth` is ignored.

    Raises:
        InputError: There is no image, or the sizes of an image's masks and annotations differ.
    """
    if not truth:
        raise InputError("there is no image to score")
    masks = {image_id: _masks(found) for image_id, found in predicted.items() if image_id in truth}
    for image_id, found in masks.items():
        if found.size != truth[image_id].size:
            raise InputError(
                f"image {image_id}: masks of (H, W) = {found.size} for a truth of "
                f"{truth[image_id].size}",
                key=image_id,
                found=found.size,
                expected=truth[image_id].size,
            )
    pairs = {
        image_id: overlaps(cells, masks[image_id])
        for image_id, cells in truth.items() if image_id in masks
    }  # fmt: skip
    return table_of(truth, masks, pairs)


def table_of(
    truth: Mapping[str, Instances],
    masks: Mapping[str, Instances],
    pairs: Mapping[str, Overlaps],
) -> CocoTable:
    """Compute the table of images whose cells have been compared.

    Args:
        truth: The annotated cells of each image.
        masks: The scored masks of each image.
        pairs: The overlaps of each image that has masks.
    """
    names = distinguished_types(truth, masks)
    counted = names or (UNTYPED,)
    parts = []
    for image_id, cells in truth.items():
        found = masks.get(image_id, Instances.empty(cells.size))
        compared = pairs.get(image_id, NO_OVERLAPS)
        parts.append(rank_image(cells, found, compared, names))
    detections = Ranked.concatenate(parts)
    return CocoTable(
        rows=_rows(detections, len(counted)),
        by_type={
            name: _mean_of([curves(detections, 0, kind, most=ALL_DETECTIONS)], 0)
            for kind, name in enumerate(counted)
        },
        class_aware=bool(names),
        typed_truth=len(type_names(truth)) > 1,
        images=len(truth),
        cells=sum(int((cells.areas() > 0).sum()) for cells in truth.values()),
        detections=sum(int((found.areas() > 0).sum()) for found in masks.values()),
        scored=any(found.score is not None for found in masks.values() if len(found)),
    )


def rank_image(
    truth: Instances, masks: Instances, pairs: Overlaps, types: Sequence[str], *,
    classes: int = len(AREAS),
) -> Ranked:  # fmt: skip
    """Rank the detections of an image and decide which of them are hits.

    Args:
        truth: The annotated cells.
        masks: The scored masks.
        pairs: Their overlaps.
        types: The cell types; a detection hits only cells of its own type, if types are given.
        classes: The number of area classes.
    """
    if types:
        truth_kind, kind = places(truth, types), places(masks, types)
    else:
        truth_kind, kind = np.zeros(len(truth), np.int64), np.zeros(len(masks), np.int64)
    truth_areas = truth.areas()
    truth_kind = np.where(truth_areas > 0, truth_kind, -1)
    score = None if masks.score is None else masks.score.astype(np.float64)
    return ranked(
        pairs, truth_areas, masks.areas(), score, truth_kind, kind,
        types=max(len(types), 1), most=ALL_DETECTIONS, classes=classes,
    )  # fmt: skip


def _masks(found: Candidates | Instances) -> Instances:
    if isinstance(found, Instances):
        return found
    # Without type probabilities the types are unknown, even if there are names.
    return masks_of(replace(found, type_names=()) if found.type_probability is None else found)


def distinguished_types(
    truth: Mapping[str, Instances], masks: Mapping[str, Instances]
) -> tuple[str, ...]:
    """Return the cell types of the truth, or () if types are ignored."""
    names = type_names(truth)
    told = all(set(found.type_names) & set(names) for found in masks.values() if len(found))
    return names if len(names) > 1 and told else ()


def type_names(truth: Mapping[str, Instances]) -> tuple[str, ...]:
    """Return the unique names of the cell types of all images."""
    return tuple(dict.fromkeys(name for cells in truth.values() for name in cells.type_names))


def _rows(detections: Ranked, types: int) -> tuple[CocoRow, ...]:
    """Return the rows in COCO's order for each number of detections."""
    rows = []
    for most in MAX_DETECTIONS:
        found = {
            area: [curves(detections, place, kind, most=most) for kind in range(types)]
            for place, area in enumerate(AREAS if most != ALL_DETECTIONS else AREAS[:1])
        }
        for metric, iou, area in LAYOUT[:3] if most == ALL_DETECTIONS else LAYOUT:
            value = _mean_of(found[area], int(metric == "AR"), iou)
            rows.append(CocoRow(metric, iou, area, most, value))
    return tuple(rows)


def _mean_of(
    found: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]] | None], which: int,
    iou: int | None = None,
) -> float | None:  # fmt: skip
    """Average precision or recall over the types that have cells."""
    measured = [each[which] for each in found if each is not None]
    if not measured:
        return None
    values = np.array(measured)
    return float((values if iou is None else values[:, (iou - 50) // 5]).mean())
