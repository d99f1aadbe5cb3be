"""Learning from reviewed images: fine-tuning in a child process, a comparison, and a decision.

The process is `bigkingxxl train finetune`, which keeps its state when it is stopped and resumes
from it. The new model is not used before the user accepts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError
from bigkingxxl.extras import install
from bigkingxxl.inference.ensemble_file import is_ensemble
from bigkingxxl.model_files import resolve_model
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.apply_job import reload_all
from bigkingxxl.viewer.server.child_process import run_child
from bigkingxxl.viewer.server.job_status import Finished, Report
from bigkingxxl.viewer.server.model_history import ModelHistory
from bigkingxxl.viewer.server.pending_learning import PendingLearning, forget
from bigkingxxl.viewer.server.session import Session
from bigkingxxl.viewer.server.workspace import KnownImage, numbered_map

TRAIN = ("-m", "bigkingxxl.viewer.run_as_child", "train", "finetune")
AGAIN = ("-m", "bigkingxxl.viewer.repredict")
COMPARED = 6  # images that are compared before and after
SHOWN = "compared"  # the folder of their cells
CHANGED_SETTINGS = {
    "score_threshold": "minimum score of a cell",
    "minimum_area": "minimum area of a cell in pixels",
    "nms_iou": "IoU above which two detections count as one cell",
    "mask_threshold": "minimum probability of a pixel inside a cell mask",
    "foreground_threshold": "minimum foreground probability of a pixel",
    "flow_error": "largest flow error of a cell",
    "seed_threshold": "minimum probability of a seed",
}
LEARNT = 0.95  # share of the progress bar that fine-tuning itself takes


def what_is_missing() -> str:
    """Return a sentence on what to install for the second stage, or "" if nothing is missing."""
    if all(find_spec(name) is not None for name in ("torch", "lightning")):
        return ""
    return f"training needs the extra 'train': {install('train')}"


class LearnJob:
    """Fine-tunes the model and shows what would change.

    Args:
        session: The session.
        models: The folder of models.
        about: What is to be learned, and its progress.
    """

    kind: wire.JobKind = "learn"
    can_resume = True

    def __init__(self, session: Session, models: Path, about: PendingLearning) -> None:
        self.session, self.models, self.about = session, models, about
        self.folder = models / about.id

    @classmethod
    def new(cls, session: Session, request: wire.LearnRequest, history: ModelHistory) -> LearnJob:
        """Create a job that begins with the model in use."""
        about = PendingLearning(history.new_folder().name, request, history.model)
        return cls(session, history.folder, about)

    @property
    def result(self) -> wire.LearnResult | None:
        """The result of learning, once there is one."""
        return self.about.result

    @property
    def model(self) -> Path | None:
        """The file of the new model."""
        return None if self.about.model is None else self.models / self.about.model

    def check(self) -> None:
        """Refuse to start a job that cannot succeed.

        Raises:
            InputError: Nothing was reviewed, the model is gone, or a required package is missing.
        """
        if self.about.request.stage == 2 and (sentence := what_is_missing()):
            raise InputError(sentence)
        if is_ensemble(self.about.init):
            raise InputError(
                f"{self.about.init} is an ensemble, but fine-tuning starts from a single model: "
                "choose one of its models with `bigkingxxl view DIR --model NAME`",
                file=self.about.init,
            )
        try:
            resolve_model(self.about.init)
        except InputError as error:
            raise InputError(
                f"{error}: choose another model with `bigkingxxl view DIR --model NAME`"
            ) from error
        self.session.store.flush()
        open_dataset(self.session.store.folder)

    def run(self, report: Report) -> Finished:
        """See `Job`."""
        self.session.store.flush()
        self.about.write(self.models)
        found: dict[str, Any] = {}

        def told(line: Mapping[str, Any]) -> None:
            if line.get("event") == "result":
                found.update(line)
            elif line.get("event") == "progress":
                share = LEARNT * float(line.get("overall", 0.0))
                report.step(share, 1.0, str(line.get("text", "")))

        report.step(0.0, 1.0, "reading the reviewed images")
        run_child(self._command(), told, report.stop)
        if "model" not in found:
            raise InputError("fine-tuning ended without a result")
        model = self.folder / Path(str(found["model"])).name
        is_new = found.get("kept") != "start"
        compared = self._compare(report, found, model) if is_new else ()
        result = result_of(found, self.about.request.stage, compared)
        inner = model.relative_to(self.models).as_posix()
        self.about = replace(self.about, model=inner, result=result)
        if is_new:
            self.about.write(self.models)
        else:
            self.end()
        return Finished(result.advice, result=result)

    def end(self) -> None:
        """Forget the job: the user decided, or there is nothing to decide."""
        forget(self.models)

    def _command(self) -> list[str]:
        request = self.about.request
        stage = ["--stage", "settings"] if request.stage == 1 else []
        begun = self.folder.is_dir() and any(self.folder.glob("model.*"))
        return [
            *TRAIN, "--data", str(self.session.store.folder), "--out", str(self.folder),
            "--json-lines", "--init", self.about.init, *stage,
            "--set", f"training.max_cpu_minutes={request.minutes}",
            *(["--resume"] if begun else []),
        ]  # fmt: skip

    # ---- before and after -----------------------------------------------------------------------

    def _compare(
        self, report: Report, found: Mapping[str, Any], model: Path
    ) -> tuple[wire.ComparedImage, ...]:
        """Compare the cells that the new model finds in images that nobody reviewed."""
        images = self._unseen()
        if not images:
            return ()
        report.step(LEARNT, 1.0, "predicting images that were not used for training")
        run_child(AGAIN, lambda _: None, report.stop, {
            "model": str(model), "out": str(self.folder / SHOWN), "formats": ["labels"],
            "images": [[image.name, str(image.path)] for image in images],
            "reading": self.session.workspace.reading,
        })  # fmt: skip
        scores = found.get("per_unit") or {}
        return tuple(
            wire.ComparedImage(
                key=image.key, before=_score(scores, image.name, "start"),
                after=_score(scores, image.name, str(found.get("kept"))),
            )
            for image in images
        )  # fmt: skip

    def _unseen(self) -> list[KnownImage]:
        """Return the images of which nothing was reviewed, the worst first."""
        if self.session.workspace.run_folder is None:
            return []
        entries = [entry for entry in self.session.strip().images
                   if entry.state == "ready" and entry.reviewed == 0]  # fmt: skip
        entries.sort(key=lambda entry: -(entry.expected_error or 0.0))
        return [self.session.image(entry.key) for entry in entries[:COMPARED]]

    def labels(self, which: str, image: KnownImage) -> NDArray[Any]:
        """Return the cells of a compared image, 'before' or 'after'.

        Raises:
            InputError: There are none.
        """
        from bigkingxxl.runs.reader import open_run

        shown = self.result is not None and any(
            each.key == image.key for each in self.result.compared
        )
        if not shown or which not in ("before", "after"):
            raise InputError("this image was not used for the comparison", key=which, found=image)
        if which == "before":
            return self.session.workspace.start(image).labels
        cells = open_run(self.folder / SHOWN)[image.name].predicted_cells
        return numbered_map(cells)


class RepredictJob:
    """Predicts all images of a run with another model, except corrected ones."""

    kind: wire.JobKind = "apply"
    can_resume = True

    def __init__(self, session: Session, model: str) -> None:
        self.session, self.model = session, model

    def run(self, report: Report) -> Finished:
        """See `Job`."""
        workspace = self.session.workspace
        folder = workspace.run_folder
        images = [image for image in self.session.images() if image.state == "ready"]
        if folder is None or not images:
            return Finished(
                "the new model is used from now on; there are no images to predict again"
            )
        from bigkingxxl.runs.store import RunStore

        before = RunStore(folder).settings()

        def told(line: Mapping[str, Any]) -> None:
            if "done" in line:
                report.step(float(line["done"]), line.get("total"), "predicting cells again")

        report.step(0, len(images), "loading the new model")
        try:
            run_child(AGAIN, told, report.stop, {
                "model": self.model, "out": str(folder), "reading": workspace.reading,
                "formats": ["labels"] if before is None else list(before.formats),
                "images": [[image.name, str(image.path)] for image in images],
            })  # fmt: skip
        finally:
            reload_all(self.session)
        return Finished(f"{counted(len(images), 'image')} predicted with the new model")


def result_of(
    found: Mapping[str, Any], stage: int, compared: tuple[wire.ComparedImage, ...]
) -> wire.LearnResult:
    """Return the result of fine-tuning for the page."""
    kept = str(found.get("kept", "start"))
    is_better = kept != "start"
    better = found.get(kept) if is_better else None
    tried = better or found.get("trained") or found.get("settings") or {}
    interval = tried.get("gain_interval_95") or (None, None)
    return wire.LearnResult(
        stage=2 if stage == 2 else 1, images=int(found.get("images", 0)),
        before=_of(found.get("start"), "map"), after=_of(tried, "map"), gain=_of(tried, "gain"),
        gain_low=interval[0], gain_high=interval[1], is_better=is_better,
        advice=_advice(kept, found), compared=compared,
        changed=(*_changed(found), *map(str, found.get("notes", ()))),
    )  # fmt: skip


def _advice(kept: str, found: Mapping[str, Any]) -> str:
    if kept == "start":
        return str(found.get("sentence", ""))
    what = {
        "settings": "The same model with another cell size and other thresholds",
        "trained": "The model that was trained on your corrections",
    }[kept]
    count, units = len(found.get("per_unit") or {}), found.get("units", "images")
    return f"{what} is clearly better on {count} {units} that were not used for training."


def _changed(found: Mapping[str, Any]) -> list[str]:
    """Describe in plain words what was changed."""
    changed = []
    size = found.get("size") or {}
    if size.get("diameter") is not None and size.get("diameter") != size.get("before"):
        changed.append(f"assumed diameter of the cells: {size['diameter']:.1f} pixels")
    for name, (old, new) in (found.get("moved") or {}).items():
        kind, _, parameter = name.rpartition(".")
        words = CHANGED_SETTINGS.get(parameter, parameter.replace("_", " "))
        of_type = f" ({kind})" if kind else ""
        changed.append(f"{words}{of_type}: from {_number(old)} to {_number(new)}")
    return changed


def _of(values: Any, name: str) -> float | None:
    value = values.get(name) if isinstance(values, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _score(scores: Mapping[str, Any], name: str, which: str) -> float | None:
    return _of(scores.get(name), which)


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)
