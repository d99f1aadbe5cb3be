"""A complete fine-tuning: settings, checked trainings, and the model that is kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.dataset import fingerprint
from bigkingxxl.errors import InputError, Interrupted, MissingExtraError
from bigkingxxl.extras import install
from bigkingxxl.files import clear_temporaries, write_json
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import ONNX_SUFFIX, model_hash, read_card, resolve_model
from bigkingxxl.provenance import provenance
from bigkingxxl.training.budget import cpu_seconds
from bigkingxxl.training.dataset_checks import common_channels, warn_of_flaws
from bigkingxxl.training.finetune.files import (
    KEY,
    RUN_FILE,
    check_folder,
    check_same,
    has_begun,
    write_begun,
    write_start,
)
from bigkingxxl.training.finetune.held_out_units import Units, fold_units, units_of
from bigkingxxl.training.finetune.model_choice import SETTINGS, START, Trial
from bigkingxxl.training.finetune.progress import (
    CHECK_STAGE,
    PROGRESS_FILE,
    SETTINGS_STAGE,
    TRAIN_STAGE,
    Progress,
    Report,
)
from bigkingxxl.training.finetune.settings import FinetuneSettings
from bigkingxxl.training.finetune.settings_stage import (
    Choice,
    Chooser,
    Truth,
    crossfitted_cells,
)
from bigkingxxl.training.finetune.tiny_fragments import find_tiny_fragments, without_tiny_fragments
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run_folder import locked

log = logging.getLogger(__name__)

Stage = Literal["all", "settings"]
SETTINGS_FOLDS = 5  # of the first stage, which takes seconds


@dataclass
class Tuning:
    """The state of a fine-tuning.

    Attributes:
        recipe: The requested recipe.
        check: Its settings of the checks.
        data: The annotated images without specks.
        units: The units that are held out in turn.
        start: The starting model file.
        card: Its card.
        out: The run folder.
        device: The device of the networks.
        progress: Reports the progress.
        trial: The scores of each model.
        began: The CPU seconds at the start.
    """

    recipe: Recipe
    check: FinetuneSettings
    data: Dataset
    units: Units
    truth: Truth
    start: Path
    card: ModelCard
    out: Path
    device: str
    progress: Progress
    trial: Trial
    began: float
    notes: list[str]

    def spent(self) -> float:
        """Return the CPU minutes spent so far."""
        return (cpu_seconds() - self.began) / 60

    def note(self, text: str) -> None:
        """Report a sentence that a user should know."""
        self.notes.append(text)
        self.progress.note(text)


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
        data: The annotated images.
        out: The folder of the model, `run.json` and `progress.jsonl`.
        stage: 'settings' only chooses size, thresholds and minimum area, which needs no torch for
            an exported model; 'all' then trains.
        resume: Continue an interrupted run.
        device: The device.
        report: Called with progress events; see `progress`.

    Returns:
        The result, as in `run.json` under 'finetune'.

    Raises:
        InputError: There are no annotated cells, the images have other channels, or the run folder
            is in use.
        ModelError: The model does not exist.
        MissingExtraError: torch is needed but not installed.
        OutputError: The run folder cannot be written.
        Interrupted: Ctrl-C or a signal ended the run; its state is saved.
    """
    with locked(out):
        check_folder(out, resume)
        clear_temporaries(out)
        try:
            return _finetune(recipe, data, out, stage, device, report, resume)
        except KeyboardInterrupt as end:
            begun = has_begun(out)
            advice = (
                "run again with --resume to continue"
                if begun
                else "run again to start from the beginning"
            )
            number = {"signum": end.signum} if isinstance(end, Interrupted) else {}
            raise Interrupted(advice=advice, **number) from None


def _finetune(
    recipe: Recipe, data: Dataset, out: Path, stage: Stage, device: str, report: Report,
    resume: bool,
) -> dict[str, Any]:  # fmt: skip
    """Fine-tune with the folder locked; see `finetune`."""
    began = cpu_seconds()
    start = resolve_model(str(recipe.init))
    card = read_card(start)
    if stage == "all":
        check_torch()
        check_method(recipe, start, card)
    facts = {"data_fingerprint": fingerprint(data), "init_hash": model_hash(start)}
    if resume:
        check_same(out, recipe, data.ids, facts)
    work = prepared(recipe, data, out, start, card, device, stage, report, began)
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


def check_torch() -> None:
    """Check that torch is installed for the second stage; the error says what works without it.

    Raises:
        MissingExtraError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise MissingExtraError(
            f"training needs torch, which comes with the extra 'train': {install('train')}; or "
            "adapt only the size and the thresholds, which does not need torch (--stage settings)",
            key="train",
        )


def check_method(recipe: Recipe, start: Path, card: ModelCard) -> None:
    """Check the method of the starting model before anything else.

    Raises:
        InputError: It is another method than that of the recipe.
    """
    if card.method != recipe.method:
        raise InputError(
            f"{start} is a model of the method '{card.method}', but the recipe trains "
            f"'{recipe.method}': choose another --init, or add --set method={card.method}",
            file=start,
            key="method",
            found=card.method,
            expected=recipe.method,
        )


def prepared(
    recipe: Recipe, data: Dataset, out: Path, start: Path, card: ModelCard, device: str,
    stage: Stage, report: Report, began: float,
) -> Tuning:  # fmt: skip
    """Prepare the annotated images and report what is to be known of them.

    Raises:
        InputError: There are no annotated cells, or the images have other channels.
    """
    channels = common_channels(data, data.ids)
    if channels != card.image_channels:
        raise InputError(
            f"{data.root}: its images have {channels} channels, but {start} takes "
            f"{card.image_channels}",
            file=data.root,
            key="channels",
            found=channels,
            expected=card.image_channels,
        )
    specks = find_tiny_fragments(data)
    if specks.median == 0:
        raise InputError(
            f"{data.root}: the images to train on have no annotated cells", file=data.root
        )
    if recipe.training.label_policy == "mended":
        warn_of_flaws(data, data.ids)
    data = without_tiny_fragments(data, specks.limit) if specks.count else data
    units = units_of(data)
    truth = Truth(units, card.type_names)
    check = recipe.finetune or FinetuneSettings()
    stages = (SETTINGS_STAGE, *((CHECK_STAGE, TRAIN_STAGE) if stage == "all" else ()))
    progress = Progress(report, out / PROGRESS_FILE, stages)
    work = Tuning(
        recipe, check, data, units, truth, start, card, out, device, progress,
        Trial(truth.cells, units.groups, check.confidence), began, [],
    )  # fmt: skip
    cells = sum(len(data.instances(each)) for each in data.ids)
    progress.tell("begin", stages=list(stages), images=len(data), cells=cells, units=units.kind,
                  cpu_minutes=recipe.training.max_cpu_minutes)  # fmt: skip
    seen = data.among(card.trained_on)
    for text in (specks.note, units.note, in_sample_note(len(seen), len(data))):
        if text is not None:
            work.note(text)
    return work


def in_sample_note(seen: int, images: int) -> str | None:
    """Return a note if the start was trained on some images, so that its scores are too high."""
    if not seen:
        return None
    return (
        f"the starting model was trained on {seen} of the {images} images: its scores on them are "
        "too high"
    )


def choose_settings(work: Tuning, folder: Path) -> Choice:
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
    """Return [before, after] by parameter; parameters of one type as TYPE.PARAMETER."""
    found: dict[str, list[Any]] = {}
    for kind in (None, *choice.points.by_type):
        old, new = (
            {**point.decode, **point.select.model_dump()}
            for point in (before.operating_points.of(kind), choice.points.of(kind))
        )
        for name, value in new.items():
            if old.get(name) != value:
                found[name if kind is None else f"{kind}.{name}"] = [old.get(name), value]
    return found


def finished(work: Tuning, model: Path, choice: Choice, about: Mapping[str, Any]) -> dict[str, Any]:
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
