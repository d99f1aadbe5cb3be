"""A run over a whole data set in which each image is predicted by a model not trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.inference.domain.quality_assessment import assess_quality
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.model_files import model_hash, read_card
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.folder import run_settings
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.obsolete import remove_obsolete
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.outcome import Outcome
from bigkingxxl.runs.pipeline import Pipeline, RunImage
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import RunSettings, RunStore
from bigkingxxl.runs.tables import make_tables
from bigkingxxl.runs.work_units import do_unit, finish_image, units_of
from bigkingxxl.training.folds.plan import Plan

FORMATS = ("labels", "measurements", "summary")


def predict_out_of_fold(
    plan: Plan,
    models: Mapping[int, Path],
    data: Dataset,
    out: Path,
    *,
    device: str = "auto",
    track: Track = untracked,
) -> FolderResult:
    """Predict the images of each fold with its model and the model's own operating points.

    Existing results are kept. Images of folds without a model are left out.

    Args:
        plan: The folds.
        models: The models of the folds.
        data: The data set.
        out: The folder of the run.
        device: The device.
        track: Wraps iterables to show progress.

    Raises:
        InputError: A run of other models is active in the folder.
        OutputError: It cannot be written.
    """
    store, result = RunStore(out), FolderResult()
    names = {image_id for fold in models for image_id in plan.validation[fold]}
    with store.at_work(_settings(plan, models)) as settings:
        outcomes = _outcomes(store, settings, plan, models, data, device)
        for outcome in track(outcomes, len(names), "predicting out of fold"):
            result.note(outcome)
        opened = {str(data.image_path(image_id).absolute()) for image_id in names}
        result.removed = remove_obsolete(store, settings, opened, names)
        result.tables = make_tables(store, settings)
    return result


def _settings(plan: Plan, models: Mapping[int, Path]) -> RunSettings:
    hashes = [model_hash(path) for path in models.values()]
    images = [f"{fold} {image_id}" for fold in models for image_id in plan.validation[fold]]
    key = fingerprint(["out of fold", *hashes, *images])
    points = read_card(next(iter(models.values()))).operating_points
    return run_settings(
        key, Selection(points), FORMATS, model="+".join(hashes), reading=OpenOptions().as_json(),
        models=list(map(str, models.values())),
    )  # fmt: skip


def _outcomes(
    store: RunStore, settings: RunSettings, plan: Plan, models: Mapping[int, Path], data: Dataset,
    device: str,
) -> Iterator[Outcome]:  # fmt: skip
    for fold, path in models.items():
        predictor, card = load_predictor(path, device)
        selection = Selection(card.operating_points)
        pipeline = Pipeline(settings, selection, predictor, partial(assess_quality, card))
        for image_id in plan.validation[fold]:
            yield _outcome(
                store, pipeline, RunImage(data.source(image_id), data.image_path(image_id))
            )


def _outcome(store: RunStore, pipeline: Pipeline, image: RunImage) -> Outcome:
    for unit in units_of(image.name, image.source.shape):
        outcome = do_unit(store, pipeline, image, unit)
        if outcome is not None:
            return outcome
    finished = finish_image(store, pipeline, image)
    return Outcome(image.name, failure="another process is working on it") if finished is None \
        else finished  # fmt: skip
