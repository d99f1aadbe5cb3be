"""Tune the operating points of a cross-validation on out-of-fold predictions.

The operating points for an image are tuned on images of the other folds, as predicted by their own
models. Neither the model of the image nor its operating points depend on it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.partial_annotation import counted
from bigkingxxl.evaluation.prediction_cache import (
    CandidateCache,
    MapCache,
    Parameters,
    maps_folder,
    prediction_cache,
)
from bigkingxxl.evaluation.tuning import Tuner, types_to_tune
from bigkingxxl.evaluation.tuning_report import TuningResult, run_tuning
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.model_files import read_card, untuned_hash
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.training.even_sampling import evenly_by_type
from bigkingxxl.training.folds.plan import Plan

log = logging.getLogger(__name__)
MOST_IMAGES = 200  # of all folds together; more images improve nothing and take time


class OutOfFoldCache:
    """The out-of-fold predictions of each image; see `PredictionCache`.

    Args:
        models: The model of each fold.
        fold_of: The fold of each image.
        data: The data set.
        folder: The folder of the maps, which the caller deletes.
        device: The device.
    """

    def __init__(
        self, models: Mapping[int, Path], fold_of: Mapping[str, int], data: Dataset, folder: Path,
        device: str,
    ) -> None:  # fmt: skip
        self.fold_of, self.source = fold_of, data.source
        self.of_fold: dict[int, MapCache | CandidateCache] = {}
        for fold, path in models.items():
            predictor, _ = load_predictor(path, device)
            place = maps_folder(folder, untuned_hash(path), predictor)
            self.of_fold[fold] = prediction_cache(predictor, data.source, place)
        first = next(iter(self.of_fold.values()))
        self.decode_grid, self.decode_defaults = first.decode_grid, first.decode_defaults
        self.zooms = first.zooms

    def predict(self, image_id: str) -> None:
        """See `PredictionCache.predict`."""
        self._own(image_id).predict(image_id)

    def decode(self, image_id: str, parameters: Parameters) -> Candidates:
        """See `PredictionCache.decode`."""
        return self._own(image_id).decode(image_id, parameters)

    def voted_type(self, image_id: str) -> str | None:
        """See `PredictionCache.voted_type`."""
        return self._own(image_id).voted_type(image_id)

    def _own(self, image_id: str) -> MapCache | CandidateCache:
        return self.of_fold[self.fold_of[image_id]]


@dataclass(frozen=True, eq=False)
class FoldPoints:
    """The operating points of a cross-validation.

    Attributes:
        of_fold: For the model of each fold, tuned on the images of the others.
        of_all: For the ensemble, tuned on images of all folds.
        result: The result of tuning; None if it was impossible for `reason`.
    """

    of_fold: dict[int, OperatingPoints]
    of_all: OperatingPoints
    result: TuningResult | None = None
    reason: str | None = None


def tune_folds(
    plan: Plan,
    models: Mapping[int, Path],
    start: OperatingPoints,
    data: Dataset,
    folder: Path,
    *,
    device: str = "auto",
    seed: int = 0,
    track: Track = untracked,
) -> FoldPoints:
    """Tune the operating points of the models, each on the images of the other folds.

    Args:
        plan: The folds.
        models: The models of the trained folds.
        start: Their operating points before.
        data: The data set.
        folder: The cache of predictions, for a later call.
        device: The device.
        seed: The random seed.
        track: Wraps iterables to show progress.
    """
    untouched = dict.fromkeys(models, start)
    if len(models) < 2:
        return FoldPoints(untouched, start, reason="a single fold cannot be tuned on other folds")
    fold_of = {image_id: fold for fold in models for image_id in plan.validation[fold]}
    ids = tuple(
        image_id for fold in models
        for image_id in evenly_by_type(plan.validation[fold], data, -(-MOST_IMAGES // len(models)))
    )  # fmt: skip
    parts = [tuple(each for each in ids if fold_of[each] == fold) for fold in models]
    cache = OutOfFoldCache(models, fold_of, data, folder, device)
    for image_id in track(ids, len(ids), "looking at images to tune on"):
        cache.predict(image_id)
    tuner = _tuner(cache, ids, plan, data, next(iter(models.values())))
    try:
        result = run_tuning(tuner, ids, start, seed=seed, parts=parts)
    except InputError as reason:
        log.warning("the folds keep their operating points: %s", reason)
        return FoldPoints(untouched, start, reason=str(reason))
    held_out = result.held_out
    of_fold = {fold: held_out[own[0]] for fold, own in zip(models, parts, strict=True)}
    return FoldPoints(of_fold, result.points, result)


def _tuner(
    cache: OutOfFoldCache, ids: tuple[str, ...], plan: Plan, data: Dataset, model: Path
) -> Tuner:
    ignored = {image_id: data.ignored(image_id) for image_id in ids}
    truth = {image_id: counted(data.instances(image_id), ignored[image_id]) for image_id in ids}
    types = {image_id: data.cell_type(image_id) for image_id in ids}
    types = types_to_tune(cache, read_card(model).type_names, types)
    return Tuner(cache, truth, types, plan.groups.of, ignored=ignored)
