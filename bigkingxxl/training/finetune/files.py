"""The files of a fine-tuning: the model in its folder, and the starting model with new settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bigkingxxl.errors import InputError
from bigkingxxl.files import write_bytes, write_json
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import read_card, write_card
from bigkingxxl.provenance import provenance
from bigkingxxl.training.finetune.settings_stage import Choice
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run_folder import (
    RECIPE_FILE,
    RUN_FILE,
    check_same_run,
    is_begun,
    read_facts,
)

log = logging.getLogger(__name__)

MODEL_STEM = "model"
ENDINGS = (".onnx", ".safetensors")
KEY = "finetune"


def check_folder(out: Path, resume: bool) -> None:
    """Refuse to overwrite a finished run, or to restart an interrupted one without `resume`.

    A run that ended before the first stage was finished begins again.

    Raises:
        InputError: The folder holds such a run, or there is none to resume.
    """
    if KEY in read_facts(out / RUN_FILE):
        raise InputError(
            f"{out} contains a finished run already: choose another --out", file=out, key="--out"
        )
    has_model = has_chosen(out)
    if has_model and not resume:
        raise InputError(
            f"{out} contains a run already: add --resume, or choose another --out",
            file=out,
            key="--resume",
        )
    if resume and not has_model and not is_begun(out):
        raise InputError(
            f"{out}: nothing to resume, no fine-tuning has begun there: leave --resume out",
            file=out,
            key="--resume",
        )
    if resume and not has_model:
        log.warning("%s: the run ended before its first stage was finished: it begins again", out)


def check_same(out: Path, recipe: Recipe, ids: tuple[str, ...], facts: Mapping[str, str]) -> None:
    """Check that a resumed run is the one that was started.

    Args:
        out: The run folder.
        recipe: The recipe.
        ids: The images.
        facts: 'data_fingerprint' and 'init_hash'.

    Raises:
        InputError: Something differs, which the message names.
    """
    check_same_run(out, recipe.model_dump(mode="json"), list(ids))
    before = read_facts(out / RUN_FILE)
    if not before:  # it was killed before it wrote anything
        return
    names = {"data_fingerprint": "other images or annotations (--data)",
             "init_hash": "another starting model (--init)"}  # fmt: skip
    for key, what in names.items():
        if before.get(key) != facts[key]:
            raise InputError(
                f"{out}: the run began with {what}: continue with those, or choose another --out",
                file=out,
                key=what,
            )


def write_begun(out: Path, recipe: Recipe, about: Mapping[str, Any]) -> None:
    """Write the values that a resumed run must match."""
    write_json(out / RECIPE_FILE, recipe.model_dump())
    write_json(out / RUN_FILE, dict(about))


def has_chosen(out: Path) -> bool:
    """Return whether a run folder has a model, which the first stage writes."""
    return any((out / f"{MODEL_STEM}{ending}").is_file() for ending in ENDINGS)


def write_start(start: Path, out: Path, choice: Choice | None, ids: tuple[str, ...]) -> Path:
    """Write the starting model to the run folder, unchanged or with new settings.

    Args:
        start: The starting model.
        out: The run folder.
        choice: The settings; None keeps its own.
        ids: The images on which they were chosen.
    """
    target = out / f"{MODEL_STEM}{start.suffix}"
    if choice is None:
        write_bytes(target, start.read_bytes())
    else:
        write_card(start, chosen_card(read_card(start), choice, ids), target)
    only(target)
    return target


def chosen_card(card: ModelCard, choice: Choice, ids: tuple[str, ...]) -> ModelCard:
    """Return the card of a model with chosen settings."""
    made: dict[str, Any] = {**card.provenance, "settings_chosen": provenance()}
    return card.changed(
        prediction=card.prediction.changed(diameter=choice.diameter).model_dump(),
        operating_points=choice.points.changed(tuned_on=ids).model_dump(),
        provenance=made,
    )


def only(*kept: Path) -> None:
    """Remove the models of earlier stages from a folder, except the given ones."""
    for ending in ENDINGS:
        path = kept[0].with_name(f"{MODEL_STEM}{ending}")
        if path not in kept:
            with suppress(OSError):
                path.unlink()
