"""The second stage: trainings without held-out images, and a final one on all images."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.methods.base import DenseMethod
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import ONNX_SUFFIX, load_model, read_card, write_card
from bigkingxxl.training.even_sampling import evenly_by_type
from bigkingxxl.training.finetune.files import MODEL_STEM, chosen_card, only
from bigkingxxl.training.finetune.held_out_units import fold_units
from bigkingxxl.training.finetune.model_choice import TRAINED
from bigkingxxl.training.finetune.preparation import FinetuneRun
from bigkingxxl.training.finetune.progress import CHECK_STAGE, TRAIN_STAGE
from bigkingxxl.training.finetune.settings_stage import Choice, Chooser, crossfitted_cells
from bigkingxxl.training.finetune.trainer import Trainer, share_simulated
from bigkingxxl.training.module import DivergedError

CHECKS, FINAL = "checks", "final"
LEAST_MINUTES = 0.05  # of CPU time that a training gets at least
INT8_IMAGES = 12  # images on which 8-bit arithmetic is calibrated
DEFAULT_MINUTES = 9.5  # of CPU time, if the recipe has no limit


def train_and_check(work: FinetuneRun, folder: Path) -> tuple[Path, Choice] | None:
    """Return the trained model and its settings, or None if it is not clearly better.

    Args:
        work: The state of the fine-tuning.
        folder: The cache of predictions.
    """
    before = work.trial.kept
    try:
        found = _train_and_check(work, folder)
    except DivergedError as reason:
        work.note(f"training failed and was stopped: {reason}")
        found = None
    if found is None and work.trial.kept == TRAINED:
        work.trial.kept = before
    for name in (CHECKS, FINAL):
        shutil.rmtree(work.out / name, ignore_errors=True)
    return found


def _train_and_check(work: FinetuneRun, folder: Path) -> tuple[Path, Choice] | None:
    limit = work.recipe.training.max_cpu_minutes or DEFAULT_MINUTES
    looking = work.spent()  # the trained models will take as long to predict as the start did
    trainer = Trainer(work.recipe, work.card, work.device)
    work.progress.at(CHECK_STAGE, 0, "Preparing the cross-validation", always=True)
    folds = fold_units(work.units, work.check.checks, work.recipe.seed)
    each = (limit - 2 * looking) * work.check.check_share / len(folds)
    predictors: dict[str, NetworkPredictor] = {}
    card = work.card
    for place, fold in enumerate(folds):
        home = work.out / CHECKS / str(place)
        share_simulated(work.out / CHECKS / str(place - 1), home)
        model = trainer.train(
            work.units.data, work.units.without(fold), home, max(each, LEAST_MINUTES),
            partial(_watch_check, work, place, len(folds)),
        )  # fmt: skip
        predictor, card = trainer.predictor(model)
        predictors |= dict.fromkeys(fold, predictor)
    work.progress.at(CHECK_STAGE, 0.95, "Scoring the images that were kept back", always=True)
    chooser = Chooser(predictors, card, work.units, work.truth, folder / TRAINED)
    work.trial.add(TRAINED, crossfitted_cells(chooser, folds))
    choice = chooser.choose(work.units.sampled)
    work.progress.at(CHECK_STAGE, 1, "The cross-validation is finished", always=True)
    if work.trial.kept != TRAINED:
        return None
    share_simulated(work.out / CHECKS / "0", work.out / FINAL)
    left = max(limit - work.spent() - looking / 2, LEAST_MINUTES)
    made = trainer.train(
        work.data, work.data.ids, work.out / FINAL, left, partial(_watch_final, work)
    )
    if not _is_sound(work, trainer, made, choice, folder / FINAL):
        work.note(
            "the model that was trained on all images scores worse on them than the starting "
            "model: it is discarded"
        )
        return None
    target = _put(work, made, choice)
    work.progress.at(TRAIN_STAGE, 1, "The new model has been saved", always=True)
    return target, choice


def _is_sound(
    work: FinetuneRun, trainer: Trainer, model: Path, choice: Choice, folder: Path
) -> bool:
    """Return whether a model is at least as good as the start on its own training images."""
    predictor, card = trainer.predictor(model)
    ids = work.units.sampled
    chooser = Chooser(dict.fromkeys(ids, predictor), card, work.units, work.truth, folder)
    cells = {each: chooser.predict(each, choice) for each in ids}
    return competition_map(work.truth.cells, cells, {}).mean >= work.trial.start.mean


def _put(work: FinetuneRun, made: Path, choice: Choice) -> Path:
    """Replace the start in the run folder by the trained model with its settings."""
    target = work.out / f"{MODEL_STEM}.safetensors"
    card = chosen_card(read_card(made), choice, work.data.ids)
    write_card(made, with_scores(card, work), target)
    exported = export_beside(target, work.data)
    only(target, *([exported] if exported else []))
    return target


def export_beside(model: Path, data: Dataset) -> Path | None:
    """Export the model to ONNX beside it; None if its method cannot be exported.

    Args:
        model: The model file.
        data: The images that it is for; 8-bit arithmetic is calibrated on some of them.
    """
    from bigkingxxl.training.export import export
    from bigkingxxl.training.int8_quantisation import try_int8

    method = load_model(model).method
    if not (isinstance(method, DenseMethod) and method.any_size):
        return None
    target = model.with_suffix(ONNX_SUFFIX)
    export(model, target, half=True)
    try_int8(
        target, (data.source(image_id) for image_id in evenly_by_type(data.ids, data, INT8_IMAGES))
    )
    return target


def with_scores(card: ModelCard, work: FinetuneRun) -> ModelCard:
    """Return the card with the scores on held-out images instead of in-sample ones."""
    outcomes = {f"kept_back_{name}": one.as_dict() for name, one in work.trial.outcomes.items()}
    return card.changed(scores={**card.scores, **outcomes})


def _watch_check(work: FinetuneRun, place: int, count: int, done: float, minutes: float) -> None:
    work.progress.at(
        CHECK_STAGE, 0.95 * (place + done) / count,
        f"Cross-validation: training {place + 1} of {count}", minutes,
    )  # fmt: skip


def _watch_final(work: FinetuneRun, done: float, minutes: float) -> None:
    work.progress.at(TRAIN_STAGE, 0.95 * done, "Final training on all images", minutes)
