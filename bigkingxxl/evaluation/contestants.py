"""What takes part in a comparison: a model, an ensemble, a run, or what another tool wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.errors import InputError, ModelError
from bigkingxxl.evaluation.inputs import Predictions, Truth, read_predictions
from bigkingxxl.files import write_json
from bigkingxxl.inference.ensemble_file import SUFFIX, Members, members_of
from bigkingxxl.inference.load_ensemble import card_of
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import masks_of
from bigkingxxl.models import ModelCard, model_hash
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.selection import Selection
from bigkingxxl.shipped import shipped_model
from bigkingxxl.test_time_augmentation import as_text

MODEL_SUFFIXES = (".onnx", ".safetensors", SUFFIX)
TOGETHER = "+"  # joins the members of an ensemble
NAMED = "="  # between a name and what it names
COSTS = "costs.json"
COMMON = ("model", "results", "folds", "out-of-fold")  # names that say nothing of the method
PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Contestant:
    """One of those that are compared.

    Attributes:
        name: what tables call it.
        members: a model or those of an ensemble, and what is decided for them; None for results.
        place: the results; None for models.
    """

    name: str
    members: Members | None = None
    place: Path | None = None

    @property
    def models(self) -> tuple[Path, ...]:
        """The files of the models; () for results."""
        return () if self.members is None else self.members.files


@dataclass(frozen=True)
class Cost:
    """What it took to predict.

    Attributes:
        seconds: mean wall time per image, the model loaded; cpu_seconds: likewise of processors.
        memory: highest memory of the process in bytes, None where the system does not tell.
        images: how many were timed.
    """

    seconds: float
    cpu_seconds: float
    memory: int | None
    images: int


def find_contestants(texts: Sequence[str]) -> list[Contestant]:
    """What each text names: `NAME=` and a model, models joined by +, or results.

    Raises:
        InputError: nothing is there, or two have one name.
    """
    found = [_contestant(text) for text in texts]
    names = [each.name for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"two of what is to be compared are called '{twice}': name them, as in "
            f"'first{NAMED}{texts[names.index(twice)]}'",
            key="METHODS",
            found=twice,
        )
    return found


def _contestant(text: str) -> Contestant:
    name, named, what = text.partition(NAMED)
    if not named or Path(text).exists():
        name, what = "", text
    place = Path(what)
    parts = what.split(TOGETHER)
    if not place.exists() and all(_is_model(part) for part in parts):
        return _models(name or what, parts)
    if place.is_file() and place.suffix.lower() in MODEL_SUFFIXES:
        return _models(name or _short(place), [what])
    if not place.exists():
        raise InputError(
            f"there is nothing at {what}, expected a model, several joined by {TOGETHER}, a run's "
            "folder, or results (submission csv, COCO json, a folder of files of cells)",
            file=what,
        )
    return Contestant(name or _short(place), place=place)


def _models(name: str, parts: Sequence[str]) -> Contestant:
    return Contestant(name, members_of(parts))


def _is_model(text: str) -> bool:
    return shipped_model(text) is not None or Path(text).suffix.lower() in MODEL_SUFFIXES


def _short(place: Path) -> str:
    """A file's stem or a folder's name; of files called as all are, the folder's too."""
    name = place.stem if place.is_file() else place.resolve().name
    return f"{place.resolve().parent.name}/{name}" if name in COMMON else name


@dataclass(frozen=True)
class Taken:
    """A contestant's predictions.

    Attributes:
        predictions: its cells; cost: what they took, None where another program made them.
        seen: images of the truth that its models were trained, selected or tuned on.
    """

    predictions: Predictions
    cost: Cost | None = None
    seen: frozenset[str] = frozenset()


def take_results(
    contestant: Contestant,
    truth: Truth,
    *,
    skip_bad: bool = False,
    numbering: Path | None = None,
    categories: Mapping[int, str] | None = None,
) -> Taken:
    """The cells that a run or another tool wrote, see `inputs.read_predictions`."""
    if contestant.place is None:
        raise ValueError(f"'{contestant.name}' is no file or folder of results")
    found = read_predictions(
        contestant.place, truth, skip_bad=skip_bad, numbering=numbering, categories=categories
    )
    return Taken(found)


def run_model(
    contestant: Contestant, dataset: Dataset, ids: Sequence[str], out: Path, device: str = "auto"
) -> Taken:
    """Predict images of a data set in a process of its own, and take what it found.

    Args:
        out: keeps candidates and costs; what is there already is not predicted again.

    Raises:
        ModelError: the process ended early; what it said is part of the sentence.
    """
    members = contestant.members
    if members is None:
        raise ValueError(f"'{contestant.name}' is no model")
    card = card_of(members)
    parts = [*map(model_hash, members.files), *map(repr, members.weights)]
    # A type that the points vote by decides which models see an image.
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
    peak = _run(contestant.name, folder / "task.json")
    return _collected(card, dataset, ids, folder, peak)


def _run(name: str, task: Path) -> int | None:
    """Run the task; the highest memory of its process in bytes."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(
            [str(PACKAGE), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        )
    }
    command = [sys.executable, "-m", "bigkingxxl.evaluation.predict_task", str(task)]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        said = process.stderr.read() if process.stderr is not None else ""
        peak = None
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            # Kilobytes, but for macOS.
            peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        code = process.wait()
    if code:
        last = said.strip().splitlines()
        raise ModelError(
            f"{name}: {last[-1] if last else f'its process ended with {code}'}", key=name
        )
    return peak


def _collected(
    card: ModelCard, dataset: Dataset, ids: Sequence[str], folder: Path, peak: int | None
) -> Taken:
    from bigkingxxl.candidates import Candidates

    selection = Selection(card.operating_points)
    cells: dict[str, Instances] = {}
    masks: dict[str, Instances] = {}
    for image_id in ids:
        candidates = Candidates.load(place_of(folder, image_id))
        cells[image_id] = selection.instances(candidates, None)
        masks[image_id] = masks_of(candidates)
    costs = json.loads((folder / COSTS).read_text(encoding="utf-8"))
    timed = [costs["images"][image_id] for image_id in ids]
    cost = Cost(
        sum(each[0] for each in timed) / len(timed), sum(each[1] for each in timed) / len(timed),
        max(peak or 0, costs.get("memory") or 0) or None, len(timed),
    )  # fmt: skip
    _keep_peak(folder, costs, cost.memory)
    seen = dataset.among([*card.trained_on, *card.selected_on, *card.operating_points.tuned_on])
    return Taken(Predictions(cells, masks), cost, seen & set(ids))


def _keep_peak(folder: Path, costs: dict[str, object], memory: int | None) -> None:
    """The memory that predicting took: a later call that only reads takes less."""
    if memory is not None and memory != costs.get("memory"):
        write_json(folder / COSTS, {**costs, "memory": memory})


def place_of(folder: Path, image_id: str) -> Path:
    """Where an image's candidates are kept."""
    return folder / "candidates" / f"{image_id}.npz"
