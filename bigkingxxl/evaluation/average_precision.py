"""COCO's average precision and recall of scored masks, overlaps allowed.

The standard evaluation (Lin et al. 2014), by faster-coco-eval, at more detections an image than
COCO's 100, which hide most cells of a dense field. Areas are counted from the masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import masks_of

COCO_LAYOUT_DETECTIONS = (100, 300, 1000)
ALL_DETECTIONS = 2000
MAX_DETECTIONS = (*COCO_LAYOUT_DETECTIONS, ALL_DETECTIONS)
AREAS = ("all", "small", "medium", "large")
# COCO's twelve lines but for the three AR, which stand at each number of detections instead.
LAYOUT: tuple[tuple[str, int | None, str], ...] = (
    ("AP", None, "all"),
    ("AP", 50, "all"),
    ("AP", 75, "all"),
    *(("AP", None, area) for area in AREAS[1:]),
    *(("AR", None, area) for area in AREAS),
)
ANY_TYPE = ("cell",)


class CocoRow(NamedTuple):
    """One line of COCO's table.

    Attributes:
        metric: 'AP' or 'AR'; iou: 50 or 75 per cent, or None for the mean over 50, 55 ... 95.
        area: 'all', 'small' (up to 32 x 32 pixels), 'medium' (up to 96 x 96) or 'large'.
        max_detections: how many of an image's best detections of a type count.
        value: None where there is nothing to measure.
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
    """'AP50' or 'AR, small cells': how one line is called in a few letters."""
    name = metric if iou is None else f"{metric}{iou}"
    return name if area == "all" else f"{name}, {area} cells"


@dataclass(frozen=True, eq=False)
class CocoTable:
    """COCO's table at 100, 300 and 1,000 detections, and AP at 2,000.

    Attributes:
        rows: every line, see `value`.
        by_type: AP at 2,000 detections of each cell type, None for one that no image shows.
        class_aware: False where types were left out of the evaluation: there is one at most, or
            the predictions do not tell them.
        typed_truth: whether the truth names several types.
        images, cells, detections: how many there were.
        scored: False where the predictions carry no scores, and all counted as equally sure.
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
        """One number of the table.

        Raises:
            KeyError: the table has no such line.
        """
        wanted = (metric, iou, area, max_detections)
        for row in self.rows:
            if row[:4] == wanted:
                return row.value
        raise KeyError(wanted)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
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
        truth: the cells of each image; predicted: its candidates (cut at probability 0.5) or
            scored masks; an image left out has no detections, and one that only `predicted` names
            is ignored.

    Raises:
        InputError: there is no image, or an image's masks are of another size than its truth.
    """
    if not truth:
        raise InputError("there is no image to score")
    masks = {image_id: _masks(found) for image_id, found in predicted.items() if image_id in truth}
    for image_id, found in masks.items():
        if found.size != truth[image_id].size:
            raise InputError(
                f"image {image_id}: masks of (H, W) = {found.size} for a truth of "
                f"{truth[image_id].size}"
            )
    names = _categories(truth, masks)
    evaluation = _evaluate(truth, masks, names)
    precision, recall = evaluation["precision"], evaluation["recall"]
    counted = names or ANY_TYPE
    return CocoTable(
        rows=_rows(precision, recall),
        by_type={name: _mean(precision[:, :, k, 0, -1]) for k, name in enumerate(counted)},
        class_aware=bool(names),
        typed_truth=len(_type_names(truth)) > 1,
        images=len(truth),
        cells=sum(int((cells.areas() > 0).sum()) for cells in truth.values()),
        detections=sum(int((found.areas() > 0).sum()) for found in masks.values()),
        scored=any(found.score is not None for found in masks.values() if len(found)),
    )


def _masks(found: Candidates | Instances) -> Instances:
    if isinstance(found, Instances):
        return found
    # Without probabilities no type is known, whatever names there are.
    return masks_of(replace(found, type_names=()) if found.type_probability is None else found)


def _categories(truth: Mapping[str, Instances], masks: Mapping[str, Instances]) -> tuple[str, ...]:
    """The truth's cell types, or () where detections are compared whatever their type."""
    names = _type_names(truth)
    told = all(set(found.type_names) & set(names) for found in masks.values() if len(found))
    return names if len(names) > 1 and told else ()


def _type_names(truth: Mapping[str, Instances]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for cells in truth.values() for name in cells.type_names))


def _evaluate(
    truth: Mapping[str, Instances], masks: Mapping[str, Instances], names: tuple[str, ...]
) -> dict[str, NDArray[np.float64]]:
    """Precision [T, R, K, A, M] and recall [T, K, A, M], -1 where there is nothing to measure."""
    from faster_coco_eval import COCO, COCOeval_faster

    images = [
        {"id": number, "height": cells.size[0], "width": cells.size[1]}
        for number, cells in enumerate(truth.values(), start=1)
    ]
    categories = [{"id": k, "name": name} for k, name in enumerate(names or ANY_TYPE, start=1)]
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for number, (image_id, cells) in enumerate(truth.items(), start=1):
        annotations += _entries(cells, number, names, len(annotations))
        if image_id in masks:
            detections += _entries(masks[image_id], number, names, len(detections))
    common = {"images": images, "categories": categories}
    evaluation = COCOeval_faster(
        COCO({**common, "annotations": annotations}),
        COCO({**common, "annotations": detections}),
        "segm",
    )
    evaluation.params.maxDets = list(MAX_DETECTIONS)
    evaluation.evaluate()
    evaluation.accumulate()
    return {name: np.asarray(evaluation.eval[name]) for name in ("precision", "recall")}


def _entries(
    cells: Instances, image: int, names: tuple[str, ...], already: int
) -> list[dict[str, Any]]:
    """One COCO entry a cell with pixels, numbered on from `already`."""
    cells = cells.take(cells.areas() > 0)
    kinds = {name: k for k, name in enumerate(names, start=1)}
    category = [kinds.get(name, 0) if names else 1 for name in cells.type_names]
    score = np.ones(len(cells)) if cells.score is None else cells.score.astype(np.float64)
    boxes = cells.boxes()
    sides = np.stack(
        (boxes[:, 1], boxes[:, 0], boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]), axis=1
    )
    columns = (
        cells.coco_strings(), cells.areas().tolist(), sides.tolist(), score.tolist(),
        cells.cell_type.tolist(),
    )  # fmt: skip
    return [
        {
            "id": already + place,
            "image_id": image,
            "category_id": category[kind],
            "segmentation": {"size": list(cells.size), "counts": text},
            "area": area,
            "bbox": box,
            "score": sure,
            "iscrowd": 0,
        }
        for place, (text, area, box, sure, kind) in enumerate(zip(*columns, strict=True), start=1)
    ]


def _rows(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> tuple[CocoRow, ...]:
    """The lines in COCO's order, for each number of detections."""

    def value(metric: str, iou: int | None, area: str, m: int) -> float | None:
        table = precision if metric == "AP" else recall
        thresholds = slice(None) if iou is None else (iou - 50) // 5
        return _mean(table[thresholds, ..., AREAS.index(area), m])

    return tuple(
        CocoRow(*line, most, value(*line, m))
        for m, most in enumerate(MAX_DETECTIONS)
        for line in (LAYOUT[:3] if most == ALL_DETECTIONS else LAYOUT)
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    """The mean of what was measured, as pycocotools takes it."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None
