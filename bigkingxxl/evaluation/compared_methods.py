"""The participants of a comparison: a model, an ensemble, a run, or the results of another tool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.evaluation.predictions import Predictions, read_predictions
from bigkingxxl.evaluation.truth import Truth
from bigkingxxl.files import write_json
from bigkingxxl.inference.ensemble_file import SUFFIX, Members, members_of
from bigkingxxl.inference.load_ensemble import card_of
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import masks_of
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import in_folder, model_hash
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import RECORDS
from bigkingxxl.shipped_models import shipped_model
from bigkingxxl.test_time_augmentation import as_text

MODEL_SUFFIXES = (".onnx", ".safetensors", SUFFIX)
TOGETHER = "+"  # joins the members of an ensemble
NAMED = "="  # separates a name from what it stands for
COSTS = "costs.json"
COMMON = ("model", "results", "folds", "out-of-fold")  # names that do not identify a method
PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class ComparedMethod:
    """A participant of a comparison.

    Attributes:
        name: Its name in tables.
        members: A model or an ensemble; None for results.
        place: The path of results; None for models.
    """

    name: str
    members: Members | None = None
    place: Path | None = None

    @property
    def models(self) -> tuple[Path, ...]:
        """The model files; () for results."""
        return () if self.members is None else self.members.files


@dataclass(frozen=True)
class Cost:
    """The cost of predicting.

    Attributes:
        seconds: The mean wall time per image, with the model loaded.
        cpu_seconds: The mean processor time per image.
        memory: The peak memory of the process in bytes; None if the system does not report it.
        images: The number of timed images.
    """

    seconds: float
    cpu_seconds: float
    memory: int | None
    images: int


def find_methods(texts: Sequence[str]) -> list[ComparedMethod]:
    """Resolve what each text stands for: a model, models joined by +, or results.

    Raises:
        InputError: Nothing is found, or two participants have the same name.
    """
    found = [_contestant(text) for text in texts]
    names = [each.name for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"two methods have the name '{twice}': give them different names, as in "
            f"'first{NAMED}{texts[names.index(twice)]}'",
            key="METHODS",
            found=twice,
        )
    return found


def _contestant(text: str) -> ComparedMethod:
    name, named, what = text.partition(NAMED)
    if not named or Path(text).exists():
        name, what = "", text
    place = Path(what)
    parts = what.split(TOGETHER)
    if not place.exists() and all(_is_model(part) for part in parts):
        return _models(name or what, parts)
    if _is_training(place) or (place.is_file() and place.suffix.lower() in MODEL_SUFFIXES):
        return _models(name or _short(place), [what])
    if not place.exists():
        raise InputError(
            f"there is nothing at {what}, expected a model, several joined by {TOGETHER}, a run's "
            "folder, or results (submission csv, COCO json, a folder of files of cells)",
            file=what,
        )
    return ComparedMethod(name or _short(place), place=place)


def _models(name: str, parts: Sequence[str]) -> ComparedMethod:
    return ComparedMethod(name, members_of(parts))


def _is_model(text: str) -> bool:
    place = Path(text)
    is_file = place.suffix.lower() in MODEL_SUFFIXES
    return is_file or shipped_model(text) is not None or _is_training(place)


def _is_training(place: Path) -> bool:
    """Return whether a folder contains the model of a training rather than predicted cells."""
    return in_folder(place) != place and not (place / RECORDS).is_dir()


def _short(place: Path) -> str:
    """Return a file's stem or a folder's name, with the parent folder if that is a common name."""
    name = place.stem if place.is_file() else place.resolve().name
    return f"{place.resolve().parent.name}/{name}" if name in COMMON else name


@dataclass(frozen=True)
class Taken:
    """The predictions of a participant.

    Attributes:
        predictions: Its cells.
        cost: The cost; None if another program predicted.
        seen: The images of the truth on which its models were trained, selected or tuned.
    """

    predictions: Predictions
    cost: Cost | None = None
    seen: frozenset[str] = frozenset()


def take_results(
    participant: ComparedMethod,
    truth: Truth,
    *,
    skip_bad: bool = False,
    numbering: Path | None = None,
    categories: Mapping[int, str] | None = None,
) -> Taken:
    """Read the cells that a run or another tool wrote; see `predictions.read_predictions`."""
    if participant.place is None:
        raise ValueError(f"'{participant.name}' is not a file or folder of results")
    found = read_predictions(
        participant.place, truth, skip_bad=skip_bad, numbering=numbering, categories=categories
    )
    return Taken(found)


def run_model(
    participant: ComparedMethod,
    dataset: Dataset,
    ids: Sequence[str],
    out: Path,
    device: str = "auto",
) -> Taken:
    """Predict images of a data set in a separate process and read the results.

    Args:
        participant: The participant.
        dataset: The data set.
        ids: The images.
        out: The folder of candidates and costs; existing results are not predicted again.
        device: The device.

    Raises:
        ModelError: The process failed; the message contains its output.
    """
    members = participant.members
    if members is None:
        raise ValueError(f"'{participant.name}' is not a model")
    card = card_of(members)
    parts = [*map(model_hash, members.files), *map(repr, members.weights)]
    # A voted type decides which models process an image.
    parts += [] if members.points is None else [members.points.model_dump_json()]
    parts += [] if members.tta is None else [as_text(members.tta)]
    key = fingerprint([*parts, str(dataset.root.resolve()), device])
    folder = out / key[:16]
    task = {
        "models": list(map(str, members.files)), "weights": list(members.weights),
        "changes": members.changes,
        "points": None if members.points is None else members.points.model_dump(mode="json"),
        "data": str(dataset.root), "ids": list(ids),
        "out": str(folder), "device": device,
    }  # fmt: skip
    write_json(folder / "task.json", task)
    _run(participant.name, folder / "task.json")
    return _collected(card, dataset, ids, folder)


def _run(name: str, task: Path) -> None:
    """Run the task in a process of its own."""
    environment = os.environ | {
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": os.pathsep.join(
            [str(PACKAGE), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        ),
    }
    command = [sys.executable, "-m", "bigkingxxl.evaluation.predict_task", str(task)]
    ended = subprocess.run(
        command, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8", check=False
    )
    if ended.returncode:
        last = ended.stderr.strip().splitlines()
        why = last[-1] if last else f"its process ended with {ended.returncode}"
        raise ModelError(f"{name}: {why}", key=name)


def _collected(card: ModelCard, dataset: Dataset, ids: Sequence[str], folder: Path) -> Taken:
    from bigkingxxl.candidates import Candidates

    selection = Selection(card.operating_points)
    cells: dict[str, Instances] = {}
    masks: dict[str, Instances] = {}
    blurred: list[str] = []
    for image_id in ids:
        candidates = Candidates.load(place_of(folder, image_id))
        cells[image_id], left_out = selection.cells_of(dataset.source(image_id), candidates)
        blurred += [image_id] if left_out else []
        masks[image_id] = masks_of(candidates)
    costs = json.loads((folder / COSTS).read_text(encoding="utf-8"))
    timed = [costs["images"][image_id] for image_id in ids]
    cost = Cost(
        sum(each[0] for each in timed) / len(timed), sum(each[1] for each in timed) / len(timed),
        costs.get("memory"), len(timed),
    )  # fmt: skip
    seen = dataset.among([*card.trained_on, *card.selected_on, *card.operating_points.tuned_on])
    notes = (_note_on_blurred(blurred),) if blurred else ()
    return Taken(Predictions(cells, masks, notes), cost, seen & set(ids))


def _note_on_blurred(names: Sequence[str]) -> str:
    one, more = len(names) == 1, "" if len(names) == 1 else ", ..."
    return (
        f"{counted(len(names), 'image')} {'is' if one else 'are'} out of focus and "
        f"{'has' if one else 'have'} no cells, as in `predict` ({names[0]}{more}): to compare the "
        "shapes in such images, add --keep-blurred to `predict` and name its folder here"
    )


def place_of(folder: Path, image_id: str) -> Path:
    """Return the file of an image's candidates."""
    return folder / "candidates" / f"{image_id}.npz"
