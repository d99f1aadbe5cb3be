"""The speed of metrics compared with cellpose and pycocotools on the same cells.

    python -m benchmarks run metric_speed [--data FOLDER] [--images 100] [--out FILE]

The images are those with the most cells. Predictions are the annotated cells, each moved by up to
two pixels, one in seven left out, painted in random order with random scores. pycocotools comes
with the extra `dev`; cellpose 3 has to be installed in addition (`pip install 'cellpose<4'`),
otherwise its part is skipped with a notice. The exit status is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drawn_cells import annotation_table
from benchmarks.harness import REAL_DATA, RESULTS, Goal, by_turns, keep, timed
from bigkingxxl.evaluation.average_precision import MAX_DETECTIONS, CocoTable, coco_table
from bigkingxxl.evaluation.competition_map import competition_map, competition_score
from bigkingxxl.evaluation.metrics.base import Metric
from bigkingxxl.evaluation.metrics.registry import find_metrics
from bigkingxxl.evaluation.pairing import ImagePair, pairs_of
from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT
from bigkingxxl.evaluation.scoring import score_pairs
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import write_coco_annotations
from bigkingxxl.io.annotations.kaggle import read_annotations

Cells = dict[str, Instances]
TRIES = 5
JUST_ABOVE = (
    1e-9  # cellpose counts an IoU of exactly the threshold as a hit, the challenge does not
)


def dense_images(csv_path: Path, count: int) -> Cells:
    """Return the annotated cells of the images that have the most."""
    table = read_annotations(csv_path)
    cells = {image_id: table.instances(image_id) for image_id in table.ids}
    chosen = sorted(cells, key=lambda image_id: -len(cells[image_id]))[:count]
    return {image_id: cells[image_id] for image_id in chosen}


def painted(cells: Instances) -> Instances:
    """Return disjoint cells: smaller ones are painted over larger ones."""
    disjoint = cells.disjoint(np.argsort(-cells.areas(), kind="stable"))
    return disjoint.take(disjoint.areas() > 0)


def imperfect(cells: Instances, rng: np.random.Generator) -> Instances:
    """Return scored, disjoint cells as a model might find them."""
    found = cells.take(rng.random(len(cells)) > 1 / 7)
    owner = found.run_owner
    moves = rng.integers(-2, 3, (len(found), 2))[owner]
    runs = found.runs + moves[:, [0, 1, 1]]
    runs[:, 1:] = np.clip(runs[:, 1:], 0, cells.size[1])
    inside = (runs[:, 0] >= 0) & (runs[:, 0] < cells.size[0]) & (runs[:, 1] < runs[:, 2])
    moved = Instances.from_runs(
        runs[inside], owner[inside], len(found), cells.size,
        cell_type=found.cell_type, type_names=found.type_names,
    )  # fmt: skip
    result = moved.disjoint(rng.permutation(len(moved)))
    result = result.take(result.areas() > 0)
    return replace(result, score=rng.random(len(result)).round(3).astype(np.float32))


def against_cellpose(truth: Cells, predicted: Cells) -> tuple[list[Goal], dict[str, Any]]:
    """Compare the competition mAP on label maps without overlaps."""
    try:
        from cellpose import metrics
    except ImportError as error:
        print(f"left out: cellpose cannot be imported ({error}); pip install 'cellpose<4'")
        return [], {"cellpose": f"left out: {error}"}
    disjoint = {image_id: painted(cells) for image_id, cells in truth.items()}
    true_maps = [cells.label_map() for cells in disjoint.values()]
    found_maps = [cells.label_map() for cells in predicted.values()]
    thresholds = [percent / 100 + JUST_ABOVE for percent in THRESHOLDS_PERCENT]
    metrics.average_precision(true_maps[:1], found_maps[:1], thresholds)  # compiles

    def from_maps() -> float:
        maps = zip(truth, true_maps, found_maps, strict=True)
        pairs = {k: ImagePair.of_labels(a, b, image_id=k) for k, a, b in maps}
        return competition_score(pairs).mean

    results, times = by_turns({
        "theirs": lambda: metrics.average_precision(true_maps, found_maps, thresholds),
        "instances": lambda: competition_map(disjoint, predicted, {}),
        "label maps": from_maps,
    }, TRIES)  # fmt: skip
    theirs, score, again = results.values()
    slow, fast, whole = times.values()
    counts = np.array([part.counts.tp for part in score.per_image.values()])
    if not np.array_equal(counts, theirs[1]) or again != score.mean:
        raise AssertionError("the competition mAP differs from cellpose's")
    goals = [
        Goal("competition mAP: times faster than cellpose", slow.cpu / fast.cpu, 5),
        Goal("competition mAP of label maps: times faster than cellpose", slow.cpu / whole.cpu, 5),
    ]
    return goals, {
        "competition_map": score.mean,
        "competition_map_ours": fast.as_dict(),
        "competition_map_ours_from_label_maps": whole.as_dict(),
        "competition_map_cellpose": slow.as_dict(),
        "competition_map_same_hits": "at every image and threshold",
    }


def all_metrics(truth: Cells, predicted: Cells) -> tuple[list[Goal], dict[str, Any]]:
    """Compare all registered metrics with the competition mAP alone; without intervals."""
    every = find_metrics(["all"], next(iter(truth.values())).type_names)
    outlines = [metric for metric in every if metric.needs_pixels]
    overlaps = [metric for metric in every if not metric.needs_pixels]

    def values(metrics: list[Metric]) -> None:
        scores = score_pairs(pairs_of(truth, predicted), metrics)
        for metric in metrics:
            scores.value(metric)

    values(every)  # imports
    _, times = by_turns({
        "alone": lambda: competition_map(truth, predicted, {}).mean,
        "overlaps": lambda: values(overlaps),
        "all": lambda: values(every),
    }, TRIES)  # fmt: skip
    alone, most, all_of_them = times.values()
    goals = [
        Goal("all metrics: times the competition mAP alone", all_of_them.cpu / alone.cpu, 1.5,
             at_most=True),
    ]  # fmt: skip
    return goals, {
        "metrics": len(every),
        "all_metrics": all_of_them.as_dict(),
        "all_but_boundary_distances": most.as_dict(),
        "all_but_boundary_distances_ratio": round(most.cpu / alone.cpu, 2),
        "needs_pixels": [metric.key for metric in outlines],
        "competition_map_alone": alone.as_dict(),
        "images_per_core_second_compared": round(len(truth) / alone.cpu, 1),
    }


def coco_dataset(cells: Mapping[str, Instances], scored: bool) -> Any:
    """Create a pycocotools data set of a COCO annotation file."""
    from pycocotools.coco import COCO

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.json"
        write_coco_annotations(path, cells, {image_id: f"{image_id}.png" for image_id in cells})
        result = COCO(str(path))
    if scored:
        scores = [score for found in cells.values() for score in np.asarray(found.score).tolist()]
        for entry, score in zip(result.dataset["annotations"], scores, strict=True):
            entry["score"] = score
    return result


def against_pycocotools(truth: Cells, predicted: Cells) -> tuple[list[Goal], dict[str, Any]]:
    """Compare COCO's table on overlapping annotations, by cell type."""
    from pycocotools.cocoeval import COCOeval

    table, fast = timed(lambda: coco_table(truth, predicted), 3)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco_dataset(truth, False), coco_dataset(predicted, True), "segm")
        evaluation.params.maxDets = list(MAX_DETECTIONS)

        def theirs() -> None:
            evaluation.evaluate()
            evaluation.accumulate()

        _, slow = timed(theirs)
    worst = largest_difference(table, evaluation.eval["precision"], evaluation.eval["recall"])
    goals = [
        Goal("COCO AP: times faster than pycocotools", slow.cpu / fast.cpu, 20),
        Goal("COCO AP: largest difference from pycocotools", worst, 1e-6, at_most=True),
    ]
    return goals, {
        "coco_ap": table.value(),
        "coco_ours": fast.as_dict(),
        "coco_pycocotools_without_reading": slow.as_dict(),
    }


def largest_difference(table: CocoTable, precision: Any, recall: Any) -> float:
    """Return the largest difference between all rows of the table."""
    areas = ("all", "small", "medium", "large")
    worst = 0.0
    for row in table.rows:
        values = precision if row.metric == "AP" else recall
        values = values if row.iou is None else values[(row.iou - 50) // 5]
        values = values[..., areas.index(row.area), MAX_DETECTIONS.index(row.max_detections)]
        measured = values[values > -1]
        expected = measured.mean() if measured.size else -1.0
        worst = max(worst, abs((-1.0 if row.value is None else row.value) - expected))
    return float(worst)


def main() -> int:
    """Measure, print and store; return the exit status."""
    parser = argparse.ArgumentParser(description="Speed of the metrics.")
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="folder with a train.csv")
    parser.add_argument("--images", type=int, default=100, help="how many, the densest first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "metric_speed.json")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        csv_path, data = annotation_table(options.data, Path(folder))
        truth = dense_images(csv_path, options.images)
    predicted = {image_id: imperfect(cells, rng) for image_id, cells in truth.items()}
    goals, details = against_cellpose(truth, predicted)
    more_goals, more = against_pycocotools(truth, predicted)
    own_goals, own = all_metrics(truth, predicted)
    counted = {
        "data": data,
        "images": len(truth),
        "cells": sum(map(len, truth.values())),
        "predicted_cells": sum(map(len, predicted.values())),
    }
    return keep(
        options.out,
        goals + own_goals + more_goals,
        {**counted, **details, **own, **more},
        options.seed,
    )


if __name__ == "__main__":
    sys.exit(main())
