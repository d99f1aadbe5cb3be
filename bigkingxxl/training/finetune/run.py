"""A fine-tuning from start to finish: settings, checked trainings, the model that stays."""

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
from bigkingxxl.inference.load import load_predictor
from bigkingxxl.instances import Instances
from bigkingxxl.models import ONNX_SUFFIX, ModelCard, model_hash, read_card, resolve_model
from bigkingxxl.provenance import provenance
from bigkingxxl.training.budget import cpu_seconds
from bigkingxxl.training.finetune.choice import (
    Choice,
    Chooser,
    Truth,
    crossfitted_cells,
)
from bigkingxxl.training.finetune.files import (
    KEY,
    RUN_FILE,
    check_folder,
    check_same,
    has_begun,
    write_begun,
    write_start,
)
from bigkingxxl.training.finetune.progress import (
    CHECK_STAGE,
    PROGRESS_FILE,
    SETTINGS_STAGE,
    TRAIN_STAGE,
    Progress,
    Report,
)
from bigkingxxl.training.finetune.settings import FinetuneSettings
from bigkingxxl.training.finetune.specks import find_specks, without_specks
from bigkingxxl.training.finetune.units import Units, fold_units, units_of
from bigkingxxl.training.finetune.verdict import SETTINGS, START, Trial
from bigkingxxl.training.inspect import common_channels, warn_of_flaws
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run_folder import locked

log = logging.getLogger(__name__)

Stage = Literal["all", "settings"]
SETTINGS_FOLDS = 5  # of the first stage, which takes seconds


@dataclass
class Tuning:
    """A fine-tuning at work.

    Attributes:
        recipe: as it was asked for; check: its part on checks.
        data: the annotated images without specks; units: what is kept back in turn.
        start: the model file it starts from; card: its card.
        out: the run folder; device: that the networks run on.
        progress: says where it stands; trial: how each model did; began: CPU seconds at the start.
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
        """CPU minutes so far."""
        return (cpu_seconds() - self.began) / 60

    def note(self, text: str) -> None:
        """Something that a user should know."""
        self.notes.append(text)
        self.progress.note(text)


def nobody(event: dict[str, Any]) -> None:
    """Who is told nothing."""


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
    """Fine-tune a model on a few annotated images; the start is kept unless the new one is better.

    Args:
        recipe: one with `finetune` and `init`; data: the annotated images.
        out: gets the model, `run.json` and `progress.jsonl`.
        stage: 'settings' chooses size, thresholds and least area alone, which needs no torch where
            the model is an exported one; 'all' trains thereafter.
        resume: go on with a run that was broken off.
        report: is told where it stands, see `progress`.
    Returns:
        What was found, as it stands in `run.json` under 'finetune'.
    Raises:
        InputError: no annotated cells, images of other channels, a run folder in use.
        ModelError: there is no such model; MissingExtraError: torch is needed, and missing.
        OutputError: the run folder cannot be written.
        Interrupted: by Ctrl-C or a signal, once the state is kept.
    """
    with locked(out):
        check_folder(out, resume)
        clear_temporaries(out)
        try:
            return _finetune(recipe, data, out, stage, device, report, resume)
        except KeyboardInterrupt as end:
            begun = has_begun(out)
            advice = "run again with --resume to go on" if begun else "run again to start anew"
            number = {"signum": end.signum} if isinstance(end, Interrupted) else {}
            raise Interrupted(advice=advice, **number) from None


def _finetune(
    recipe: Recipe, data: Dataset, out: Path, stage: Stage, device: str, report: Report,
    resume: bool,
) -> dict[str, Any]:  # fmt: skip
    """See `finetune`; the folder is held."""
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
            from bigkingxxl.training.finetune.second import train_and_check

            trained = train_and_check(work, Path(temporary))
            model, choice = trained or (model, choice)
    return finished(work, model, choice, about)


def check_torch() -> None:
    """Say what a base install lacks for the second stage, and what it can do without.

    Raises:
        MissingExtraError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise MissingExtraError(
            "training needs torch, which comes with the extra 'train': "
            f"{install('train')}; or choose size and thresholds alone, without it: "
            "--stage settings",
            key="train",
        )


def check_method(recipe: Recipe, start: Path, card: ModelCard) -> None:
    """Refuse a model of another method before anything is looked at.

    Raises:
        InputError: it is one.
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
    """The annotated images made ready, and what there is to say of them.

    Raises:
        InputError: no annotated cells, or images of other channels.
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
    specks = find_specks(data)
    if specks.median == 0:
        raise InputError(
            f"{data.root}: the images to train on have no annotated cells", file=data.root
        )
    if recipe.training.label_policy == "mended":
        warn_of_flaws(data, data.ids)
    data = without_specks(data, specks.limit) if specks.count else data
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
    for text in (specks.note, units.note, seen_note(len(seen), len(data))):
        if text is not None:
            work.note(text)
    return work


def seen_note(seen: int, images: int) -> str | None:
    """That the start has learnt from images, so that its scores on them are flattered."""
    if not seen:
        return None
    return (
        f"the starting model was trained on {seen} of the {images} images: its scores on them are "
        "too high"
    )


def choose_settings(work: Tuning, folder: Path) -> Choice:
    """The first stage: settings chosen on all units, and what such a choice gains on others."""
    work.progress.at(SETTINGS_STAGE, 0, "Loading the model", always=True)
    # An exported model runs on the processor, whatever the trained ones are to run on.
    device = "cpu" if work.start.suffix == ONNX_SUFFIX else work.device
    predictor, card = load_predictor(work.start, device)
    ids = work.units.looked_at
    steps, done = 3 * len(ids), 0

    def looked(image_id: str) -> None:
        nonlocal done
        done = min(done + 1, steps)
        work.progress.at(SETTINGS_STAGE, 0.9 * done / steps, f"Looking at {image_id}")

    chooser = Chooser(
        dict.fromkeys(ids, predictor), card, work.units, work.truth, folder / START, looked
    )
    before: dict[str, Instances] = {}
    for image_id in ids:
        looked(image_id)
        before[image_id] = chooser.as_predicted(image_id)
    work.trial.add(START, before)
    if work.units.count < 2:
        work.progress.at(SETTINGS_STAGE, 1, "Nothing can be kept back", always=True)
        return chooser.start
    folds = fold_units(work.units, SETTINGS_FOLDS, work.recipe.seed)
    work.trial.add(SETTINGS, crossfitted_cells(chooser, folds))
    choice = chooser.choose(ids)
    work.progress.at(SETTINGS_STAGE, 1, "Settings are chosen", always=True)
    if choice == chooser.start and work.trial.kept == SETTINGS:
        work.trial.kept = START
    return choice if work.trial.kept == SETTINGS else chooser.start


def moved(before: ModelCard, choice: Choice) -> dict[str, list[Any]]:
    """By parameter, its value before and now; those of a single type as TYPE.PARAMETER."""
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
    """Write what was found, and say it.

    Args:
        about: what made it.
    """
    trial, checked = work.trial, work.units.count >= 2
    if checked:
        sentence = trial.sentence(work.units.kind)
    else:
        sentence = (
            "There is too little annotated to keep a part of it back, so that nothing could be "
            "checked: the starting model is kept as it was. Annotate a second image."
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
