"""Score a model on the validation images of its fold: default, cross-fitted and in-sample.

    python benchmarks/score_fold.py MODEL --data DIR --fold 0 --out benchmarks/results/NAME.json

Candidates come from one pass of the network; operating points are tuned on one half of the fold
and scored on the other, and the reverse. Refuses a model that was trained on the fold's images.
Some images of the real fold 0 show a place that a training image shows too, though `fields.csv`
does not say so; the cross-fitted score is also given for the images without such a twin.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigkingxxl.cli.progress import track
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.seams import matching_images
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.average_precision import coco_table
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.evaluation.tuning import Tuner, crossfitted
from bigkingxxl.inference.load import load_predictor
from bigkingxxl.models import model_hash
from bigkingxxl.runs import provenance, write_json

DECODE_GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "components": {"foreground_threshold": (0.3, 0.4, 0.5, 0.6, 0.7)},
    "watershed": {
        "foreground_threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
        "seed_threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
        "smoothing": (0.0, 1.0, 2.0, 3.0),
    },
    "flows": {
        "foreground_threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
        "flow_error": (0.2, 0.4, 0.6, 0.8, 1.2),
    },
}


def main() -> None:
    """Parse, predict, score, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", type=float)
    parser.add_argument("--flips", type=int, choices=(1, 2, 4))
    options = parser.parse_args()
    write_json(options.out, score(options))


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, for JSON; a summary is printed."""
    data = open_dataset(options.data)
    _, ids = fold_ids(data, options.fold)
    predictor, card = load_predictor(options.model, "auto", scale=options.scale)
    if options.flips:
        predictor.settings = predictor.settings.changed(flips=options.flips)
    seen = set(ids) & set(card.trained_on)
    if seen:
        raise InputError(f"{options.model} was trained on {len(seen)} images of this fold")
    maps, seconds = {}, []
    for image_id in track(ids, label="predicting"):
        began = time.perf_counter()
        maps[image_id] = predictor.maps(data.source(image_id)).astype(np.float16)
        seconds.append(time.perf_counter() - began)
    representation = predictor.representation

    def decode(image_id: str, knobs: Mapping[str, Any]) -> Any:
        return representation.decode(maps[image_id].astype(np.float32), knobs)

    truth = {image_id: data.instances(image_id) for image_id in ids}
    types = {image_id: data.cell_type(image_id) for image_id in ids}
    tuner = Tuner(decode, truth, types, DECODE_GRIDS.get(representation.name, {}))
    start = card.operating_points
    groups = data.columns.get("field", {image_id: image_id for image_id in ids})
    tuned = tuner.tune(ids, start)
    runs = {
        "default": {image_id: tuner.predict(image_id, start) for image_id in ids},
        "crossfitted": crossfitted(tuner, ids, groups, start),
        "tuned, in-sample": {image_id: tuner.predict(image_id, tuned) for image_id in ids},
    }
    scores = {name: competition_map(truth, found, types) for name, found in runs.items()}
    alone = without_twins(data, ids)
    scores["crossfitted, images without a twin in training"] = competition_map(
        {image_id: truth[image_id] for image_id in alone}, runs["crossfitted"], types
    )
    apart = [image_id for image_id in ids if image_id not in card.selected_on]
    scores["crossfitted, without the images that chose the checkpoint"] = competition_map(
        {image_id: truth[image_id] for image_id in apart}, runs["crossfitted"], types
    )
    for name, result in scores.items():
        mix = result.challenge_mix
        print(name, "challenge mix", mix, "plain", result.mean, result.by_type)
    coco = coco_table(truth, {image_id: decode(image_id, start.default.decode) for image_id in ids})
    return {
        **provenance(card.provenance.get("seed")),
        "model": {"hash": model_hash(options.model), "method": card.method,
                  "settings": card.settings, "minutes": card.scores.get("minutes"),
                  "scale": predictor.scale or card.prediction.scale,
                  "flips": predictor.settings.flips},
        "fold": options.fold,
        "images": len(ids),
        "images_that_chose_the_checkpoint": len(set(ids) & set(card.selected_on)),
        "seconds_an_image_network": float(np.median(seconds)),
        "scores": {name: result.as_dict() for name, result in scores.items()},
        "coco_default_knobs": coco.as_dict(),
        "tuned_points_in_sample": tuned.model_dump(exclude={"tuned_on"}),
    }  # fmt: skip


def without_twins(data: Dataset, ids: Sequence[str]) -> list[str]:
    """The ids whose pixels match no image outside of them."""
    inside = set(ids)
    twins = {
        name for pair in matching_images(data) if len(inside & set(pair)) == 1 for name in pair
    }
    return [image_id for image_id in ids if image_id not in twins]


if __name__ == "__main__":
    main()
