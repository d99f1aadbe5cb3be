"""Check what is to be fine-tuned, and prepare its images and the state of the run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError, MissingExtraError
from bigkingxxl.evaluation.cells_as_predicted import note_on_blurred
from bigkingxxl.extras import install
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import model_hash
from bigkingxxl.runs.store import RunStore
from bigkingxxl.training.budget import cpu_seconds
from bigkingxxl.training.channels import check_companions, check_taken, common_channels
from bigkingxxl.training.dataset_checks import check_annotated, warn_of_flaws
from bigkingxxl.training.finetune.held_out_units import Units, units_of
from bigkingxxl.training.finetune.model_choice import Trial
from bigkingxxl.training.finetune.progress import (
    CHECK_STAGE,
    PROGRESS_FILE,
    SETTINGS_STAGE,
    TRAIN_STAGE,
    Progress,
    Report,
)
from bigkingxxl.training.finetune.settings import FinetuneSettings
from bigkingxxl.training.finetune.settings_stage import Truth
from bigkingxxl.training.finetune.tiny_fragments import find_tiny_fragments, without_tiny_fragments
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.repeats import without_repeats

Stage = Literal["all", "settings"]


@dataclass(frozen=True)
class Request:
    """What is to be fine-tuned, and how; see `run.finetune`.

    Attributes:
        recipe: A recipe with `finetune` and `init`.
        data: The annotated images.
        out: The folder of the run.
        stage: The last stage.
        device: The device.
        report: Called with progress events.
        note: A sentence on images that were left out.
    """

    recipe: Recipe
    data: Dataset
    out: Path
    stage: Stage
    device: str
    report: Report
    note: str | None = None


@dataclass
class FinetuneRun:
    """The state of a fine-tuning.

    Attributes:
        recipe: The requested recipe.
        check: Its settings of the checks.
        data: The annotated images without tiny fragments.
        units: The units that are held out in turn.
        truth: Their annotated cells.
        start: The starting model file.
        card: Its card.
        out: The run folder.
        device: The device of the networks.
        progress: Reports the progress.
        trial: The scores of each model.
        began: The CPU seconds at the start.
        notes: Sentences that a user should know.
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


def prepared(request: Request, start: Path, card: ModelCard, began: float) -> FinetuneRun:
    """Prepare the annotated images and report what is to be known of them.

    Raises:
        InputError: There are no annotated cells, or the images have other channels.
    """
    recipe, data = request.recipe, request.data
    channels = common_channels(data, data.ids)
    check_taken(data, channels, card.image_channels, f"the starting model {recipe.init}")
    if request.stage == "all":
        check_companions(recipe, channels)
    # The score of an image without any annotation would be 1 for every model.
    data = replace(data, ids=check_annotated(data, data.ids))
    data, repeated = without_repeats(data)
    fragments = find_tiny_fragments(data)
    if recipe.training.label_policy == "mended":
        warn_of_flaws(data, data.ids)
    data = without_tiny_fragments(data, fragments.limit) if fragments.count else data
    units = units_of(data)
    truth = Truth(units, card.type_names)
    check = recipe.finetune or FinetuneSettings()
    stages = (SETTINGS_STAGE, *((CHECK_STAGE, TRAIN_STAGE) if request.stage == "all" else ()))
    progress = Progress(request.report, request.out / PROGRESS_FILE, stages)
    trial = Trial(truth.cells, units.groups, check.confidence)
    work = FinetuneRun(
        recipe, check, data, units, truth, start, card, request.out, request.device, progress,
        trial, began, [],
    )  # fmt: skip
    cells = sum(len(data.instances(each)) for each in data.ids)
    progress.tell("begin", stages=list(stages), images=len(data), cells=cells, units=units.kind,
                  cpu_minutes=recipe.training.max_cpu_minutes)  # fmt: skip
    seen = data.among(card.trained_on)
    in_sample = in_sample_note(len(seen), len(data))
    blurred = note_on_blurred(data.source, {each: data.instances(each) for each in data.ids})
    other = other_model_note(data, start, str(recipe.init))
    for text in (request.note, other, repeated, fragments.note, units.note, in_sample, blurred):
        if text is not None:
            work.note(text)
    return work


def only_corrected(data: Dataset) -> tuple[Dataset, str | None]:
    """Leave out images whose predicted cells were not corrected; return a note on them.

    Raises:
        InputError: Nothing is left.
    """
    kept = tuple(image_id for image_id in data.ids if image_id not in data.predicted)
    if len(kept) == len(data):
        return data, None
    if not kept:
        raise InputError(
            f"{data.root}: nobody corrected the cells of its images, and a model learns nothing "
            f"from its own predictions: correct some with 'bigkingxxl view {data.root}'",
            file=data.root,
            key="--data",
        )
    left_out = counted(len(data) - len(kept), "image", "is", "are")
    note = f"{left_out} left out, because nobody corrected the cells that a model found there"
    return replace(data, ids=kept), note


def other_model_note(data: Dataset, start: Path, init: str) -> str | None:
    """Return a note on folders that another model than the start predicted; None if there are none.

    Args:
        data: The annotated images.
        start: The file of the starting model.
        init: The starting model, as the user named it.
    """
    parts = data.parts.values() if isinstance(data, JoinedDataset) else (data,)
    for part in parts:
        run = RunStore(part.root).settings() if part.layout == "run" else None
        if run is not None and run.model not in ("", model_hash(start)):
            names = run.selection.get("models", ())
            return (
                f"the cells in {part.root} were predicted with {'+'.join(names) or run.model}, but "
                f"the fine-tuning starts from {init}: add --init to start from another model"
            )
    return None


def in_sample_note(seen: int, images: int) -> str | None:
    """Return a note if the start was trained on some images, so that its scores are too high."""
    if not seen:
        return None
    return (
        f"the starting model was trained on {seen} of the {images} images: its scores on them are "
        "too high"
    )
