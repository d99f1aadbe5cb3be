"""A complete cross-validation: training, tuning, calibration, out-of-fold scores, an ensemble.

    OUT/folds.csv               the fold that validates each image
    OUT/fold0/ ...              the run folder of each fold, with its model and `fold.json`
    OUT/out-of-fold/            a run: each image predicted by the model that did not train on it
    OUT/folds.json              scores, per fold and of all images
    OUT/folds.ensemble          the models of all folds as one

Each step keeps its results, and existing results are not computed again, so that an interrupted
cross-validation continues where it stopped.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigkingxxl.data.dataset import Dataset, fingerprint
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.data.split import FOLDS_FILE, write_folds
from bigkingxxl.data.subset import subset
from bigkingxxl.errors import BigKingXXLError, InputError, Interrupted, OutputError
from bigkingxxl.files import write_json
from bigkingxxl.inference.ensemble_file import write_ensemble
from bigkingxxl.model_files import FOLDS_ENSEMBLE, read_card, untuned_hash, write_operating_points
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.provenance import provenance
from bigkingxxl.settings import checked
from bigkingxxl.training.devices import ALONE
from bigkingxxl.training.folds.out_of_fold import predict_out_of_fold
from bigkingxxl.training.folds.plan import Plan, make_plan
from bigkingxxl.training.folds.scores import FoldScores, score_folds
from bigkingxxl.training.folds.tuning import FoldPoints, tune_folds
from bigkingxxl.training.phases import EXPORTED
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import train
from bigkingxxl.training.run_folder import (
    RECIPE_FILE,
    RUN_FILE,
    check_same_run,
    is_begun,
    last_checkpoint,
    locked,
    read_facts,
)

log = logging.getLogger(__name__)

MODEL, FACTS, RUN, SEEN = "model.safetensors", "fold.json", "out-of-fold", "seen"
CALIBRATE_IMAGES = 60
GO_ON = "run again with --resume to continue"

Report = Callable[[str], None]


@dataclass(frozen=True)
class FoldsResult:
    """The result of a cross-validation.

    Attributes:
        out: Its folder.
        models: The models of the trained folds.
        failed: The error of each other fold.
        rows: The out-of-fold scores; see `scores.score_folds`.
        points: The tuned operating points.
        run: The out-of-fold results.
        ensemble: The models as one; None if there are fewer than two.
        failed_images: The images that could not be predicted, by id.
        minutes: The time of all trainings.
        notes: Sentences that a reader should know.
    """

    out: Path
    models: dict[int, Path]
    failed: dict[int, str]
    rows: list[FoldScores]
    points: FoldPoints
    run: Path
    ensemble: Path | None
    failed_images: dict[str, str] = field(default_factory=dict)
    minutes: float = 0.0
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        tuned = self.points.result
        return {
            "models": {fold: str(path) for fold, path in self.models.items()},
            "failed": self.failed,
            "failed_images": self.failed_images,
            "scores": [row.as_dict() for row in self.rows],
            "tuned": None if tuned is None else tuned.as_dict(),
            "out_of_fold": str(self.run),
            "ensemble": None if self.ensemble is None else str(self.ensemble),
            "minutes": self.minutes,
            "notes": list(self.notes),
        }


def _silent(sentence: str) -> None:
    """Ignore a sentence."""


def train_folds(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    *,
    count: int | None = None,
    folds_file: Path | None = None,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    report: Report = _silent,
    track: Track = untracked,
) -> FoldsResult:
    """Train one model per fold and score the models on images that they were not trained on.

    If the training of a fold fails, the others continue, and the result names the fold.

    Args:
        recipe: The recipe.
        data: The data set.
        out: The folder of the cross-validation.
        count: The number of folds.
        folds_file: A split; by default that of the data set, or five new folds.
        device: The device.
        resume: Continue an interrupted cross-validation; existing folds are kept.
        quiet: Whether training shows no progress.
        report: Called with a sentence at each step.
        track: Wraps iterables to show progress.

    Raises:
        InputError: See `plan.make_plan`; or another run is in `out`, there is none to resume, or
            all folds failed.
        OutputError: `out` cannot be written.
        Interrupted: Ctrl-C or SIGTERM ended the run; its state is saved.
    """
    if recipe.finish.calibrate_images == 0:
        finish = recipe.finish.changed(calibrate_images=CALIBRATE_IMAGES)
        recipe = recipe.changed(finish=finish.model_dump())
    plan = make_plan(recipe, data, out, count, folds_file)
    with locked(out):
        _begin(plan, recipe, data, out, resume)
        try:
            run = _Run(plan, recipe, data, out, device, quiet, report, track)
            return run.finish(*run.train())
        except KeyboardInterrupt as end:
            number = {"signum": end.signum} if isinstance(end, Interrupted) else {}
            raise Interrupted(advice=GO_ON, **number) from None


def _begin(plan: Plan, recipe: Recipe, data: Dataset, out: Path, resume: bool) -> None:
    """Write what determines the run, or check that it has not changed."""
    begun = [fold for fold in plan.folds if _has_begun(_folder(out, fold))]
    if (out / MODEL).exists() or last_checkpoint(out).exists():
        raise InputError(
            f"{out} contains the training of one model: choose another --out", file=out, key="--out"
        )
    if begun and not resume:
        raise InputError(
            f"{out} contains a run already: add --resume, or choose another --out",
            file=out,
            key="--resume",
        )
    if resume and not begun:
        if not is_begun(out):
            raise InputError(
                f"{out}: nothing to resume, no cross-validation has begun there: leave --resume "
                "out",
                file=out,
                key="--resume",
            )
        log.warning("%s: the run ended before its first checkpoint: it begins again", out)
    if (out / FOLDS_FILE).is_file() and begun:
        check_same_run(out, recipe.model_dump(mode="json"), list(plan.ids))
    write_folds(out / FOLDS_FILE, plan.fold_of)
    write_json(out / RECIPE_FILE, recipe.model_dump())
    write_json(out / RUN_FILE, {
        **provenance(recipe.seed), "data": str(data.root), "data_fingerprint": fingerprint(data),
        "folds": len(plan.folds), "trained_on": list(plan.ids),
    })  # fmt: skip


def _folder(out: Path, fold: int) -> Path:
    return out / f"fold{fold}"


def _has_begun(folder: Path) -> bool:
    return last_checkpoint(folder).is_file() or (folder / MODEL).is_file()


@dataclass(frozen=True)
class _Run:
    """A cross-validation; see `train_folds` for its attributes."""

    plan: Plan
    recipe: Recipe
    data: Dataset
    out: Path
    device: str
    quiet: bool
    report: Report
    track: Track

    def train(self) -> tuple[dict[int, Path], dict[int, str]]:
        """Train the folds; return the models and the errors of the others."""
        failed: dict[int, str] = {}
        folds, out = self.plan.folds, self.out
        todo = [fold for fold in folds if not _is_finished(_folder(out, fold))]
        if kept := len(folds) - len(todo):
            self.report(f"{kept} of {len(folds)} folds are trained already")
        began = time.monotonic()
        for place, fold in enumerate(todo):
            left = _left(began, place, len(todo))
            self.report(f"fold {fold}, {place + 1} of {len(todo)} to train{left}")
            try:
                self._train_fold(fold)
            except OutputError:
                raise
            except Exception as error:  # whatever the error is, the other folds must not be lost
                log.debug("fold %d failed", fold, exc_info=error)
                failed[fold] = _reason(error)
                log.warning("fold %d failed and is left out: %s", fold, failed[fold])
        models = {fold: _folder(out, fold) / MODEL for fold in folds if fold not in failed}
        if not models:
            raise InputError(f"{out}: all folds failed, the first: {failed[folds[0]]}", file=out)
        return models, failed

    def _train_fold(self, fold: int) -> None:
        folder = _folder(self.out, fold)
        result = train(
            self.recipe, self.data, folder, fold=fold, folds_file=self.out / FOLDS_FILE,
            device=self.device, resume=last_checkpoint(folder).is_file(), quiet=self.quiet,
            devices=ALONE, track=self.track,
        )  # fmt: skip
        card = read_card(result.model)
        write_json(folder / FACTS, {
            "fold": fold, "model": untuned_hash(result.model), "epochs": result.epochs,
            "minutes": result.minutes, "map": result.score, "in_sample": result.chosen,
            "points": card.operating_points.model_dump(mode="json"),
        })  # fmt: skip

    def finish(self, models: dict[int, Path], failed: dict[int, str]) -> FoldsResult:
        """Tune the folds, predict and score every image out of fold, and write the ensemble."""
        plan, out, types = self.plan, self.out, self.recipe.cell_types
        own = subset(self.data, types) if types else self.data
        facts = {fold: read_facts(path.with_name(FACTS)) for fold, path in models.items()}
        start = checked(OperatingPoints, next(iter(facts.values()))["points"])
        self.report("tuning each fold on the images of the others")
        points = tune_folds(
            plan, models, start, own, out / SEEN, device=self.device, seed=self.recipe.seed,
            track=self.track,
        )  # fmt: skip
        for fold, path in models.items():
            _give_points(path, points.of_fold[fold])
        run = predict_out_of_fold(
            plan, models, own, out / RUN, device=self.device, track=self.track
        )
        chose = [image_id for path in models.values() for image_id in read_card(path).selected_on]
        rows = score_folds(plan, list(models), own, out / RUN, chose)
        ensemble = None
        if len(models) > 1:
            ensemble = out / FOLDS_ENSEMBLE
            write_ensemble(ensemble, list(models.values()), points=points.of_all)
        result = FoldsResult(
            out, models, failed, rows, points, out / RUN, ensemble, dict(run.failed),
            sum(float(each["minutes"]) for each in facts.values()),
            _notes(plan, points, chose, failed),
        )  # fmt: skip
        write_json(out / "folds.json", {**provenance(self.recipe.seed), **result.as_dict()})
        shutil.rmtree(out / SEEN, ignore_errors=True)
        return result


def _left(began: float, done: int, count: int) -> str:
    """Estimate the time of the remaining trainings."""
    if done == 0:
        return ""
    minutes = round((time.monotonic() - began) / done * (count - done) / 60)
    return f", about {minutes} minutes left" if minutes > 1 else ", about a minute left"


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split()) or "no message"
    is_told = isinstance(error, BigKingXXLError)
    return words if is_told else f"an unexpected error, {type(error).__name__}: {words}"


def _is_finished(folder: Path) -> bool:
    """Return whether the training of a fold is finished and its model unchanged."""
    known = read_facts(folder / FACTS).get("model")
    model = folder / MODEL
    return known is not None and model.is_file() and untuned_hash(model) == known


def _give_points(model: Path, points: OperatingPoints) -> None:
    """Write operating points to a model and its exported file if they changed."""
    for path in (model, model.with_name(EXPORTED)):
        if path.is_file() and read_card(path).operating_points != points:
            write_operating_points(path, points)


def _notes(
    plan: Plan, points: FoldPoints, chose: list[str], failed: dict[int, str]
) -> tuple[str, ...]:
    notes = []
    if divided := plan.divided:
        notes.append(
            f"the split divides {divided} groups of images (by {plan.groups.grouped_by}), so that "
            "models know parts of what they are scored on: the scores flatter"
        )
    if points.result is None:
        notes.append(f"thresholds are not tuned: {points.reason}")
    elif not any(each.kept for each in points.result.by_type.values()):
        notes.append("no threshold gained clearly on images of other folds: they stay as they were")
    if chose:
        notes.append(
            f"{len(chose)} of the images chose the epoch of their fold's model, which flatters a "
            "little; the last line leaves them out"
        )
    if failed:
        notes.append(
            f"images of {len(failed)} failed folds are not scored, and their models are missing "
            "from the ensemble: --resume trains them again"
        )
    return tuple(notes)
