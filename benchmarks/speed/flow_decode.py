"""Flows compared with cellpose's: targets, masks, speed, and the upper bound of the score.

    PYTHONPATH=FOLDER_WITH_CELLPOSE_3 python -m benchmarks run flow_decode --data DIR [--out FILE]

Everything runs on one core (set OMP_NUM_THREADS=1). The flows are those of the annotations, once
exact and once as a network might predict them (`flow_fields.network_like`). Times are processor
time, the minimum of several runs; those of cellpose are measured after compilation.

    targets     flows of the annotations of complete images: difference, time
    crops       training crops of 256 x 256 per second, about 100 cells, including `Flows.targets`
    masks       fraction of cells with an IoU above 0.99 to cellpose's on the same flows, both ways
    decode      maps of the image closest to 350 cells to `Candidates`, and cellpose's masks
    bound       competition mAP of decoded true targets, by type
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import REAL_DATA, RESULTS, record, results_table, timed
from bigkingxxl.decoding.flow_masks import cells_from_flows
from bigkingxxl.decoding.flow_targets import label_flows
from bigkingxxl.decoding.flows import Flows
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import KaggleTable, read_annotations
from bigkingxxl.operating_points import OperatingPoints, SelectionParameters
from tests.decoding.flow_fields import best_iou, cellpose_flows, cellpose_masks, network_like

CROP, CROP_CELLS = 256, 100

Float32 = NDArray[np.float32]


def least_seconds(work: Callable[[], Any], times: int = 5) -> float:
    """Return the processor seconds of the fastest of several runs."""
    return timed(work, times)[1].cpu


def painted(cells: Instances) -> NDArray[np.int32]:
    """Paint smaller cells over larger ones, int32[H, W]."""
    return cells.label_map(np.argsort(-cells.areas(), kind="stable"))


def maps_of(flows: Float32, logits: Float32, types: int) -> Float32:
    """Return maps as a network outputs them, float32[3 + T, h, w], without preferred type."""
    chance = 1 / (1 + np.exp(-logits))
    shares = np.full((types, *logits.shape), 1 / types)
    return np.concatenate((chance[None], flows, shares)).astype(np.float32)


def compare_targets(samples: list[Instances]) -> dict[str, float]:
    """Measure the difference from cellpose's flows in all cell pixels, and the speed-up."""
    gaps, ours, theirs = [], 0.0, 0.0
    for cells in samples:
        labels = painted(cells)
        gap = label_flows(labels) - cellpose_flows(labels)
        gaps.append(np.abs(gap[:, labels > 0]).ravel())
        ours += least_seconds(lambda labels=labels: label_flows(labels), 3)  # type: ignore[misc]
        theirs += least_seconds(lambda labels=labels: cellpose_flows(labels), 1)  # type: ignore[misc]
    gap = np.concatenate(gaps)
    return {
        "images": len(samples),
        "mean_absolute_difference": float(gap.mean()),
        "largest_difference": float(gap.max()),
        "milliseconds_an_image": 1000 * ours / len(samples),
        "cellpose_milliseconds_an_image": 1000 * theirs / len(samples),
        "times_faster": theirs / ours,
    }


def time_crops(samples: list[Instances]) -> dict[str, float]:
    """Measure crops per second for the crop whose number of cells is closest to 100."""
    planes = [cells.planes() for cells in samples]
    choices = [
        (image, row, col)
        for image, each in enumerate(planes)
        for row in range(0, each.shape[1] - CROP, 64)
        for col in range(0, each.shape[2] - CROP, 64)
    ]

    def crop(choice: tuple[int, int, int]) -> NDArray[np.int32]:
        image, row, col = choice
        return np.ascontiguousarray(planes[image][:, row : row + CROP, col : col + CROP])

    def distance(choice: tuple[int, int, int]) -> int:
        return abs(len(np.unique(crop(choice))) - 1 - CROP_CELLS)

    best = min(choices, key=distance)
    part, cells = crop(best), samples[best[0]]
    flows = Flows(cells.type_names)
    seconds = least_seconds(lambda: flows.targets(part, cells.cell_type))
    return {
        "cells": len(np.unique(part)) - 1,
        "pixels_of_cells": int((part > 0).sum()),
        "crops_a_second": 1 / seconds,
    }


def compare_masks(samples: list[Instances], noise: float | None) -> dict[str, float]:
    """Return the fractions of cells that both find, on flows of the annotations (None: exact)."""
    there, back = [], []
    for cells in samples:
        flows, logits = seen_flows(painted(cells), noise)
        theirs = cellpose_masks(flows, logits)
        ours = cells_from_flows(flows, logits > 0).label_map
        there.append(best_iou(theirs, ours))
        back.append(best_iou(ours, theirs))
    alike, found = np.concatenate(there), np.concatenate(back)
    return {
        "cells_of_cellpose": len(alike),
        "cells": len(found),
        "share_of_cellposes_above_0.99": float((alike > 0.99).mean()),
        "share_of_ours_above_0.99": float((found > 0.99).mean()),
        "mean_iou": float(alike.mean()),
    }


def seen_flows(labels: NDArray[np.int32], noise: float | None) -> tuple[Float32, Float32]:
    """Return flows and logits of a label map, exact or as uncertain as a network's."""
    flows = label_flows(labels)
    if noise is None:
        return flows, np.where(labels > 0, 3, -3).astype(np.float32)
    return network_like(flows, labels > 0, seed=0, noise=noise)


def compare_decoding(cells: Instances, noise: float | None) -> dict[str, float]:
    """Measure milliseconds from flows to masks in both, and from maps to candidates in ours."""
    flows, logits = seen_flows(painted(cells), noise)
    representation = Flows(cells.type_names)
    maps = maps_of(flows, logits, len(cells.type_names))
    cellpose_masks(flows, logits)
    masks = least_seconds(lambda: cells_from_flows(flows, logits > 0))
    whole = least_seconds(lambda: representation.decode(maps))
    theirs = least_seconds(lambda: cellpose_masks(flows, logits), 3)
    return {
        "cells": len(cells),
        "height": cells.size[0],
        "width": cells.size[1],
        "masks_milliseconds": 1000 * masks,
        "decode_milliseconds": 1000 * whole,
        "cellpose_masks_milliseconds": 1000 * theirs,
        "masks_times_faster": theirs / masks,
        "decode_times_faster": theirs / whole,
    }


def upper_bound(table: KaggleTable, ids: list[str]) -> dict[str, float]:
    """Compute the competition mAP of true targets, decoded and selected without thresholds."""
    keep_all = SelectionParameters(score_threshold=0, minimum_area=1)
    points = OperatingPoints.model_validate({"default": {"select": keep_all.model_dump()}})
    scores = []
    for name in ids:
        cells = table.instances(name)
        representation = Flows(cells.type_names)
        maps = representation.targets(cells.planes(), cells.cell_type)
        found = representation.decode(maps, {"flow_error": 4.0, "minimum_area": 1})
        scores.append(match_counts(cells, select(found, points)).score)
    return {"images": len(ids), "competition_map": float(np.mean(scores))}


def drawn(table: KaggleTable, images: int, seed: int) -> dict[str, list[str]]:
    """Draw up to `images` ids of each type."""
    by_type: dict[str, list[str]] = {}
    for name in table.ids:
        cells = table.instances(name)
        by_type.setdefault(cells.type_names[cells.cell_type[0]], []).append(name)
    rng = np.random.default_rng(seed)
    return {
        kind: [ids[i] for i in rng.permutation(len(ids))[:images]]
        for kind, ids in sorted(by_type.items())
    }


def measure(data: Path, images: int, bound_images: int, seed: int) -> dict[str, Any]:
    """Compute all results."""
    table = read_annotations(data / "train.csv", skip_bad=True)
    chosen = drawn(table, images, seed)
    samples = {kind: [table.instances(name) for name in ids] for kind, ids in chosen.items()}
    everything = [cells for group in samples.values() for cells in group]
    counts = {name: len(table.rows[name]) for name in table.ids}
    dense = table.instances(min(counts, key=lambda name: abs(counts[name] - 350)))
    levels = {"exact": None, "noise_0.1": 0.1, "noise_0.25": 0.25}
    cellpose_flows(painted(dense))
    return {
        "targets": compare_targets(everything),
        "crops": time_crops([dense]),
        "masks": {
            level: {kind: compare_masks(group, noise) for kind, group in samples.items()}
            for level, noise in levels.items()
        },
        "decode": {level: compare_decoding(dense, noise) for level, noise in levels.items()},
        "bound": {
            kind: upper_bound(table, ids) for kind, ids in drawn(table, bound_images, seed).items()
        },
    }


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description="Flows beside cellpose's.")
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--out", type=Path, default=RESULTS / "flow_decode.json")
    parser.add_argument("--images", type=int, default=8, help="of each type, beside cellpose's")
    parser.add_argument("--bound-images", type=int, default=40, help="of each type")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = {
        "what": "flow targets and flow decoding beside cellpose 3 on one core",
        "cellpose": version("cellpose"),
        "load_average": os.getloadavg(),
        **measure(options.data, options.images, options.bound_images, options.seed),
    }
    print(results_table(record(options.out, result, options.seed)))


if __name__ == "__main__":
    main()
