"""Generalisation of a model: the segmentation accuracy on data sets of other laboratories.

    python -m benchmarks run travel MODEL --data POOL --sets A B C --out FILE

Each image is predicted twice: as it is, and with the diameter of its median annotated cell. A data
set on which the model was trained is refused, unless `--in-sample` labels its score as such. The
segmentation accuracy is TP / (TP + FP + FN), averaged over IoU 0.50 to 0.95 and over the images of
a data set; AP50 is its value at IoU 0.5.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.files import write_json
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import model_hash, resolve_model
from bigkingxxl.provenance import provenance

NEAR = 1.3  # an estimated size within this factor of the true one counts as correct


def main() -> None:
    """Score the data sets one after the other and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="a folder of data sets")
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--images", type=int, default=10**6, help="at most, of each set")
    parser.add_argument("--fold", type=int, help="only the images that this fold validates")
    parser.add_argument("--in-sample", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    path = resolve_model(options.model)
    predictor, card = load_predictor(path, "cpu")
    found: dict[str, Any] = {}
    for name in options.sets:
        data = open_dataset(options.data / name)
        ids = data.ids if options.fold is None else fold_ids(data, options.fold)[1]
        seen = data.among(card.trained_on) & set(ids)
        if seen and not options.in_sample:
            raise InputError(f"{name}: the model has learnt from {len(seen)} of its images")
        found[name] = scored(data, spread(ids, data, options.images), predictor, card)
        found[name]["in_sample"] = len(seen)
        print(line(name, found[name]), flush=True)
    keys = ("estimated", "estimated_ap50", "given", "given_ap50", "size_near")
    mean = {key: float(np.mean([each[key] for each in found.values()])) for key in keys}
    print(line("mean", mean))
    if options.out:
        write_json(options.out, {**provenance(0), "model": model_hash(path), "sets": found,
                                 "mean": mean})  # fmt: skip


def spread(ids: Sequence[str], data: Dataset, count: int) -> tuple[str, ...]:
    """Select up to `count` images, evenly over cell types and over the data set."""
    of_type: dict[str | None, list[str]] = {}
    for image_id in ids:
        of_type.setdefault(data.cell_type(image_id), []).append(image_id)
    share = -(-count // len(of_type))
    chosen = [
        each[place]
        for each in of_type.values()
        for place in np.unique(np.linspace(0, len(each) - 1, min(share, len(each))).astype(int))
    ]
    return tuple(chosen)


def scored(
    data: Dataset, ids: tuple[str, ...], predictor: NetworkPredictor, card: ModelCard
) -> dict[str, Any]:
    """Score some images with estimated and with given size, and compare the sizes."""
    truth = {image_id: data.instances(image_id) for image_id in ids}
    cells: dict[str, dict[str, Instances]] = {"estimated": {}, "given": {}}
    ratio, seconds = {}, 0.0
    for image_id in ids:
        diameter = float(np.median(disc_diameter(truth[image_id].areas())))
        source = data.source(image_id)
        start = time.perf_counter()
        first = predictor.candidates(source)
        cells["estimated"][image_id] = select(first, card.operating_points)
        seconds += time.perf_counter() - start
        source = data.source(image_id)
        source.cell_diameter = diameter
        second = predictor.candidates(source)
        cells["given"][image_id] = select(second, card.operating_points)
        ratio[image_id] = second.scale_ratio / first.scale_ratio
    result = {"images": len(ids), "cells": sum(map(len, truth.values())),
              "seconds_per_image": seconds / len(ids)}  # fmt: skip
    for name, own in cells.items():
        result |= accuracies(name, truth, own, data)
    near = [1 / NEAR <= each <= NEAR for each in ratio.values()]
    return {**result, "size_near": float(np.mean(near)), "size_ratio": ratio}


def accuracies(
    name: str, truth: Mapping[str, Instances], cells: Mapping[str, Instances], data: Dataset
) -> dict[str, Any]:
    """Compute the mean segmentation accuracy, AP50, and the accuracy of each image."""
    score = competition_map(truth, cells, {each: data.cell_type(each) for each in truth})
    return {
        name: score.mean,
        f"{name}_challenge_mix": score.challenge_mix,
        f"{name}_ap50": score.by_threshold[50],
        f"{name}_per_image": score.scores,
        f"{name}_cells": sum(map(len, cells.values())),
    }


def line(name: str, found: Mapping[str, Any]) -> str:
    """Format a row of the table."""
    mix = found.get("estimated_challenge_mix")
    return (
        f"{name:24s} estimated {found['estimated']:.3f} (AP50 {found['estimated_ap50']:.3f})  "
        f"given {found['given']:.3f} ({found['given_ap50']:.3f})  size {found['size_near']:.2f}"
        + (f"  challenge mix {mix:.3f} ({found['given_challenge_mix']:.3f} given)" if mix else "")
    )


if __name__ == "__main__":
    main()
