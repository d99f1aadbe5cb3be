"""A complete fine-tuning: settings, checked trainings, and the model that is kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.dataset import fingerprint
from bigkingxxl.errors import Interrupted
from bigkingxxl.files import clear_temporaries, write_json
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import ONNX_SUFFIX, model_hash, read_card, resolve_model
from bigkingxxl.provenance import provenance
from bigkingxxl.training.budget import cpu_seconds
from bigkingxxl.training.finetune.files import (
    KEY,
    check_folder,
    check_same,
    has_chosen,
    write_begun,
    write_start,
)
from bigkingxxl.training.finetune.held_out_units import fold_units
from bigkingxxl.training.finetune.model_choice import SETTINGS, START
from bigkingxxl.training.finetune.preparation import (
    FinetuneRun,
    Request,
    Stage,
    check_method,
    check_torch,
    only_corrected,
    prepared,
)
from bigkingxxl.training.finetune.progress import (
    SETTINGS_STAGE,
    Report,
)
from bigkingxxl.training.finetune.settings_stage import (
    Choice,
    Chooser,
    crossfitted_cells,
)
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run_folder import RUN_FILE, locked

log = logging.getLogger(__name__)

SETTINGS_FOLDS = 5  # of the first stage, which takes seconds


def nobody(event: dict[str, Any]) -> None:
    """Ignore an event."""


def finetune(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    *,
    stage: Stage = "all",
    resume: bool = False,
    device: str = "auto",
    report: Report = nobody,
) -> dict[str, Any]:
    """Fine-tune a model on a few annotated images; keep the start unless the new one is better.

    Args:
        recipe: A recipe with `finetune` and `init`.
        data: The annotated images. Of a folder of predictions, only the images that somebody
            corrected are used.
        out: The folder of the model, `run.json` and `progress.jsonl`.
        stage: 'settings' only chooses size, thresholds and minimum area, which needs no torch for
            an exported model; 'all' then trains.
        resume: Continue an interrupted run.
        device: The device.
        report: Called with progress events; see `progress`.

    Returns:
        The result, as in `run.json` under 'finetune'.

    Raises:
        InputError: There are no annotated or corrected cells, the images have other channels, or
            the run folder is in use.
        ModelError: The model does not exist.
        MissingExtraError: torch is needed but not installed.
        OutputError: The run folder cannot be written.
        Interrupted: Ctrl-C or a signal ended the run; its state is saved.
    """
    with locked(out):
        check_folder(out, resume)
        clear_temporaries(out)
        try:
            data, note = only_corrected(data)
            request = Request(recipe, data, out, stage, device, report, note)
            return _finetune(request, resume)
        except KeyboardInterrupt as end:
            advice = (
                "run again with --resume to continue"
                if has_chosen(out)
                else "run again to start from the beginning"
            )
            number = {"signum": end.signum} if isinstance(end, Interrupted) else {}
            raise Interrupted(advice=advice, **number) from None


def _finetune(request: Request, resume: bool) -> dict[str, Any]:
    """Fine-tune with the folder locked; see `finetune`."""
    recipe, data, out, stage = request.recipe, request.data, request.out, request.stage
    began = cpu_seconds()
    start = resolve_model(str(recipe.init))
    card = read_card(start)
    if stage == "all":
        check_torch()
        check_method(recipe, start, card)
    facts = {"data_fingerprint": fingerprint(data), "init_hash": model_hash(start)}
    if resume:
        check_same(out, recipe, data.ids, facts)
    work = prepared(request, start, card, began)
    about = {**provenance(recipe.seed), "data": str(data.root), "init": str(recipe.init),
             "trained_on": list(data.ids), **facts}  # fmt: skip
    write_begun(out, recipe, about)
    with TemporaryDirectory(prefix="bigkingxxl-") as temporary:
        choice = choose_settings(work, Path(temporary))
        kept = choice if work.trial.kept == SETTINGS else None
        model = write_start(start, out, kept, work.data.ids)
        if stage == "all" and work.units.count >= 2:
            from bigkingxxl.training.finetune.training_stage import train_and_check

            trained = train_and_check(work, Path(temporary))
            model, choice = trained or (model, choice)
    return finished(work, model, choice, about)


def choose_settings(work: FinetuneRun, folder: Path) -> Choice:
    """Run the first stage: choose settings on all units, and measure the gain on held-out ones."""
    work.progress.at(SETTINGS_STAGE, 0, "Loading the model", always=True)
    # An exported model runs on the CPU, whatever the device of training.
    device = "cpu" if work.start.suffix == ONNX_SUFFIX else work.device
    predictor, card = load_predictor(work.start, device)
    ids = work.units.sampled
    steps, done = 3 * len(ids), 0

    def predicted(image_id: str) -> None:
        nonlocal done
        done = min(done + 1, steps)
        work.progress.at(SETTINGS_STAGE, 0.9 * done / steps, f"Predicting {image_id}")

    chooser = Chooser(
        dict.fromkeys(ids, predictor), card, work.units, work.truth, folder / START, predicted
    )
    before: dict[str, Instances] = {}
    for image_id in ids:
        predicted(image_id)
        before[image_id] = chooser.as_predicted(image_id)
    work.trial.add(START, before)
    if work.units.count < 2:
        work.progress.at(
            SETTINGS_STAGE, 1, "There are too few annotations for a validation", always=True
        )
        return chooser.start
    folds = fold_units(work.units, SETTINGS_FOLDS, work.recipe.seed)
    work.trial.add(SETTINGS, crossfitted_cells(chooser, folds))
    choice = chooser.choose(ids)
    work.progress.at(SETTINGS_STAGE, 1, "The settings have been chosen", always=True)
    if choice == chooser.start and work.trial.kept == SETTINGS:
        work.trial.kept = START
    return choice if work.trial.kept == SETTINGS else chooser.start


def moved(before: ModelCard, choice: Choice) -> dict[str, list[Any]]:
    """Return [before, after] by parameter; parameters of one type as TYPE.PARAMETER.

    A value that the card does not set, but leaves to the method, is None.
    """
    found: dict[str, list[Any]] = {}
    for kind in (None, *choice.points.by_type):
        old, new = (
            {**point.decode, **point.select.model_dump()}
            for point in (before.operating_points.of(kind), choice.points.of(kind))
        )
        for name, value in new.items():
            if old.get(name) != value:
                found[name if kind is None else f"{kind or 'none'}.{name}"] = [old.get(name), value]
    return found


def finished(
    work: FinetuneRun, model: Path, choice: Choice, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write and report the result.

    Args:
        work: The state of the fine-tuning.
        model: The kept model.
        choice: Its settings.
        about: The provenance.
    """
    trial, checked = work.trial, work.units.count >= 2
    if checked:
        sentence = trial.sentence(work.units.kind)
    else:
        sentence = (
            "There are too few annotations to keep a part of them back for a check, so the "
            "starting model is kept unchanged. Annotate a second image."
        )
    outcomes: Mapping[str, Any] = {name: each.as_dict() for name, each in trial.outcomes.items()}
    cells = sum(len(work.data.instances(each)) for each in work.data.ids)
    result: dict[str, Any] = {
        "model": str(model), "kept": trial.kept, "sentence": sentence, "checked": checked,
        "units": work.units.kind,
        **{name: outcomes.get(name) for name in ("start", "settings", "trained")},
        "size": {"diameter": choice.diameter, "before": work.card.prediction.diameter},
        "moved": moved(work.card, choice), "per_unit": trial.per_unit,
        "images": len(work.data), "cells": cells, "cpu_minutes": round(work.spent(), 2),
        "minutes": round(work.progress.minutes(), 2), "notes": work.notes,
    }  # fmt: skip
    write_json(work.out / RUN_FILE, {**about, KEY: result})
    work.progress.tell("result", **result)
    return result
