"""The model that a fine-tuning leaves in its folder, and the start under other settings."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bigkingxxl.errors import InputError
from bigkingxxl.files import write_bytes, write_json
from bigkingxxl.models import ModelCard, read_card, write_card
from bigkingxxl.provenance import provenance
from bigkingxxl.training.finetune.choice import Choice
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run_folder import check_same_run, read_facts

MODEL_STEM = "model"
RUN_FILE = "run.json"
ENDINGS = (".onnx", ".safetensors")
KEY = "finetune"


def check_folder(out: Path, resume: bool) -> None:
    """Refuse to work over a run that is finished, or over one that was broken off without a word.

    Raises:
        InputError: it is one.
    """
    if KEY in read_facts(out / RUN_FILE):
        raise InputError(
            f"{out} holds a finished run already: choose another --out", file=out, key="--out"
        )
    begun = has_begun(out)
    if begun and not resume:
        raise InputError(
            f"{out} holds a run already: add --resume, or choose another --out",
            file=out,
            key="--resume",
        )
    if resume and not begun:
        raise InputError(
            f"{out}: nothing to resume, no fine-tuning has begun there", file=out, key="--resume"
        )


def check_same(out: Path, recipe: Recipe, ids: tuple[str, ...], facts: Mapping[str, str]) -> None:
    """Refuse to go on with another run than the one that was begun.

    Args:
        facts: 'data_fingerprint' and 'init_hash'.
    Raises:
        InputError: it names what differs.
    """
    check_same_run(out, recipe.model_dump(mode="json"), list(ids))
    before = read_facts(out / RUN_FILE)
    names = {"data_fingerprint": "other images or annotations (--data)",
             "init_hash": "another starting model (--init)"}  # fmt: skip
    for key, what in names.items():
        if before.get(key) != facts[key]:
            raise InputError(
                f"{out}: the run began with {what}: go on with those, or choose another --out",
                file=out,
                key=what,
            )


def write_begun(out: Path, recipe: Recipe, about: Mapping[str, Any]) -> None:
    """Write what a run that goes on must agree with."""
    write_json(out / "recipe.json", recipe.model_dump())
    write_json(out / RUN_FILE, dict(about))


def has_begun(out: Path) -> bool:
    """Whether a run folder has a model, which the first stage leaves there."""
    return any((out / f"{MODEL_STEM}{ending}").is_file() for ending in ENDINGS)


def write_start(start: Path, out: Path, choice: Choice | None, ids: tuple[str, ...]) -> Path:
    """The starting model in the run folder, as it is or under other settings.

    Args:
        choice: the settings, None for those it has; ids: the images that they were chosen on.
    """
    target = out / f"{MODEL_STEM}{start.suffix}"
    if choice is None:
        write_bytes(target, start.read_bytes())
    else:
        write_card(start, chosen_card(read_card(start), choice, ids), target)
    only(target)
    return target


def chosen_card(card: ModelCard, choice: Choice, ids: tuple[str, ...]) -> ModelCard:
    """A model's card with chosen settings."""
    made: dict[str, Any] = {**card.provenance, "settings_chosen": provenance()}
    return card.changed(
        prediction=card.prediction.changed(diameter=choice.diameter).model_dump(),
        operating_points=choice.points.changed(tuned_on=ids).model_dump(),
        provenance=made,
    )


def only(*kept: Path) -> None:
    """Remove the models of a folder's earlier stages, so that it holds the given ones alone."""
    for ending in ENDINGS:
        path = kept[0].with_name(f"{MODEL_STEM}{ending}")
        if path not in kept:
            with suppress(OSError):
                path.unlink()
