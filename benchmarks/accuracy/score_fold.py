"""Score a model on the validation images of its fold: default, cross-fitted and in-sample.

    python -m benchmarks run score_fold MODEL --data DIR --out benchmarks/results/NAME.json

The network runs once on each image, and its maps are cached in an ignored folder. Operating points
are tuned on one half of the fold and scored on the other, and vice versa. A model that was trained
on images of the fold is refused. Some images of the real fold 0 show the same place as a training
image, although `fields.csv` does not say so. The cross-fitted score is therefore also computed for
the images without such a twin, and for those that did not choose the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import evenly_by_type, record
from bigkingxxl.cli.progress import track
from bigkingxxl.data.dataset import Dataset, fingerprint, open_dataset
from bigkingxxl.data.groups import find_groups
from bigkingxxl.data.quality.field_matching import matching_images
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.average_precision import CocoTable, coco_table
from bigkingxxl.evaluation.competition_map import CompetitionScore, competition_map
from bigkingxxl.evaluation.prediction_cache import maps_folder, prediction_cache
from bigkingxxl.evaluation.tuning import Tuner, crossfitted_points
from bigkingxxl.files import write_json
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.inference.selection import select
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import model_hash, read_card, resolve_model, untuned_hash
from bigkingxxl.operating_points import OperatingPoints

MAPS = Path("scratch/maps")
TIMED_IMAGES = 5


@dataclass(frozen=True, eq=False)
class Fold:
    """The validation images of a fold.

    Attributes:
        data: The data set.
        number: The number of the fold.
        ids: All its images, or a subset.
    """

    data: Dataset
    number: int
    ids: tuple[str, ...]

    @classmethod
    def of(cls, data: Dataset, number: int, count: int | None = None) -> Fold:
        """Return a fold, or `count` of its images with cell types as even as possible."""
        ids = fold_ids(data, number)[1]
        return cls(data, number, ids if count is None else evenly_by_type(data, ids, count))

    @cached_property
    def types(self) -> dict[str, str | None]:
        """The cell type of each image."""
        return {image_id: self.data.cell_type(image_id) for image_id in self.ids}

    @cached_property
    def without_twins(self) -> tuple[str, ...]:
        """Return the ids whose pixels match no image outside the fold; cached."""
        path = MAPS / f"twins-{fingerprint(self.data)}.json"
        if not path.is_file():
            write_json(path, matching_images(self.data, track))
        inside = set(self.ids)
        pairs = [set(pair) for pair in json.loads(path.read_text(encoding="utf-8"))]
        twins = {name for pair in pairs if len(inside & pair) == 1 for name in pair}
        return tuple(image_id for image_id in self.ids if image_id not in twins)


@dataclass(frozen=True, eq=False)
class PredictedFold:
    """A model with its predictions for the images of a fold.

    Attributes:
        path: The model file.
        card: Its card.
        predictor: Its predictor.
        fold: The images.
        tuner: Scores them with any parameters.
    """

    path: Path
    card: ModelCard
    predictor: NetworkPredictor
    fold: Fold
    tuner: Tuner

    @property
    def start(self) -> OperatingPoints:
        """Return the model's operating points, unless they were tuned on these images."""
        stored = self.card.operating_points
        return OperatingPoints() if set(stored.tuned_on) & set(self.fold.ids) else stored

    def score(self, ids: Sequence[str], points: dict[str, OperatingPoints]) -> CompetitionScore:
        """Compute the competition mAP of some images, each with its own operating points."""
        return score(self.tuner, ids, points, self.fold.types)

    def coco(self, points: dict[str, OperatingPoints]) -> CocoTable:
        """Compute COCO's metrics over all candidates."""
        found = {}
        for image_id, each in points.items():
            parameters = each.of(self.tuner.voted_type(image_id, each)).decode
            found[image_id] = self.tuner.candidates(image_id, parameters)
        return coco_table(self.tuner.truth, found)


def score(
    tuner: Tuner,
    ids: Sequence[str],
    points: Mapping[str, OperatingPoints],
    types: Mapping[str, str | None],
) -> CompetitionScore:
    """Compute the competition mAP of some images, each with its own operating points."""
    found = {image_id: tuner.predict(image_id, points[image_id]) for image_id in ids}
    return competition_map({image_id: tuner.truth[image_id] for image_id in ids}, found, types)


def predict_fold(
    model: Path, fold: Fold, maps: Path = MAPS, settings: PredictionSettings | None = None
) -> PredictedFold:
    """Run a model on the images of a fold, or read its cached maps.

    Args:
        model: The model.
        fold: The images.
        maps: The cache.
        settings: Prediction settings instead of those of its card.

    Raises:
        InputError: The model was trained on some of the images.
    """
    card = read_card(model)
    known = set(fold.ids) & set(card.trained_on)
    if known:
        raise InputError(f"{model} was trained on {len(known)} of the images of this fold")
    predictor, card = load_predictor(model, "auto", settings=settings)
    seen = prediction_cache(
        predictor, fold.data.source, maps_folder(maps, untuned_hash(model), predictor)
    )
    for image_id in track(fold.ids, label=f"predicting with {model.name}"):
        seen.predict(image_id)
    truth = {image_id: fold.data.instances(image_id) for image_id in fold.ids}
    tuner = Tuner(seen, truth, fold.types, find_groups(fold.data).of)
    return PredictedFold(model, card, predictor, fold, tuner)


def score_fold(predicted: PredictedFold) -> dict[str, Any]:
    """Compute all scores of a fold, for JSON, and print a summary."""
    ids, tuner, card = predicted.fold.ids, predicted.tuner, predicted.card
    honest = crossfitted_points(tuner, ids, predicted.start)
    default = dict.fromkeys(ids, predicted.start)
    apart = [image_id for image_id in ids if image_id not in card.selected_on]
    scores = {
        "default": predicted.score(ids, default),
        "crossfitted": predicted.score(ids, honest),
        "tuned, in-sample": predicted.score(
            ids, dict.fromkeys(ids, tuner.tune(ids, predicted.start))
        ),
        "crossfitted, images without a twin in training": predicted.score(
            predicted.fold.without_twins, honest
        ),
        "crossfitted, without the images that chose the checkpoint": predicted.score(apart, honest),
    }
    for name, result in scores.items():
        print(name, "challenge mix", result.challenge_mix, "plain", result.mean, result.by_type)
    return {
        "model": describe(predicted),
        "fold": predicted.fold.number,
        "images": len(ids),
        "images_that_chose_the_checkpoint": len(set(ids) & set(card.selected_on)),
        "seconds_an_image": seconds_an_image(predicted),
        "scores": {name: result.as_dict() for name, result in scores.items()},
        "coco_default_knobs": predicted.coco(default).as_dict(),
        "coco_crossfitted_knobs": predicted.coco(honest).as_dict(),
    }


def describe(predicted: PredictedFold) -> dict[str, Any]:
    """Describe the model and its training."""
    card, inside = predicted.card, set(predicted.fold.data.ids)
    return {
        "hash": model_hash(predicted.path),
        "method": card.method,
        "settings": card.settings,
        "prediction": predicted.predictor.settings.model_dump(),
        "minutes": card.scores.get("minutes"),
        "trained_with": card.provenance.get("device"),
        "trained_on_images": len(card.trained_on),
        "trained_on_images_of_this_set": len(inside & set(card.trained_on)),
    }


def seconds_an_image(predicted: PredictedFold) -> dict[str, Any]:
    """Measure the time from an opened image to its cells (the median of a few images).

    It is in seconds of processor time, which other jobs on the machine do not affect.
    """
    data = predicted.fold.data
    ids = evenly_by_type(data, predicted.fold.ids, TIMED_IMAGES + 1)
    seconds = []
    for image_id in ids:
        source = data.source(image_id)
        began = time.process_time()
        select(predicted.predictor.candidates(source), predicted.start)
        seconds.append(time.process_time() - began)
    # The first image includes one-time initialisation.
    return {
        "median": float(np.median(seconds[1:])),
        "images": len(seconds) - 1,
        "clock": "CPU seconds of all threads",
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "processes_waiting": os.getloadavg()[0],
    }


def add_fold_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is scored and where results are written."""
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--maps", type=Path, default=MAPS, help="folder to keep maps in")


def main() -> None:
    """Parse, predict, score and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    add_fold_options(parser)
    options = parser.parse_args()
    fold = Fold.of(open_dataset(options.data), options.fold)
    record(
        options.out, score_fold(predict_fold(resolve_model(options.model), fold, options.maps)), 0
    )


if __name__ == "__main__":
    main()
