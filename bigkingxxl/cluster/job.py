"""A run as it is sent to other processes, and a process that does its tasks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any

from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import ONNX_SUFFIX, model_hash, resolve_model
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.provenance import own_version
from bigkingxxl.runs.folder import ALONE_ABOVE
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.outcome import Outcome, fail, is_for_all
from bigkingxxl.runs.pipeline import Pipeline, RunImage, changed, opened_images
from bigkingxxl.runs.records import FileState
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import RunSettings, RunStore
from bigkingxxl.runs.work_units import do_unit, finish_image, is_ready, units_of

FINISH = -1  # the block number that stands for finishing a large image


@dataclass(frozen=True)
class Loading:
    """Which models predict, and how they are loaded; see `load_ensemble`.

    Attributes:
        models: Names of shipped models, or absolute paths.
        hashes: Hash of each model file.
    """

    models: tuple[str, ...]
    hashes: tuple[str, ...]
    device: str = "auto"
    weights: tuple[float, ...] | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    scale: float | None = None
    cell_type: str | None = None
    type_vote: str | None = None
    tile: int | None = None
    points: OperatingPoints | None = None

    @classmethod
    def of(cls, models: Sequence[str], **options: Any) -> Loading:
        """Find the models that a user named.

        Raises:
            ModelError: There is no such model.
        """
        paths = [resolve_model(each) for each in models]
        names = [str(path.absolute()) if Path(each).exists() else each
                 for each, path in zip(models, paths, strict=True)]  # fmt: skip
        return cls(tuple(names), tuple(model_hash(each) for each in paths), **options)

    @property
    def is_light(self) -> bool:
        """Whether all models are exported ones, which need neither PyTorch nor a GPU."""
        return all(resolve_model(each).suffix == ONNX_SUFFIX for each in self.models)

    def load(self) -> tuple[Predictor, ModelCard]:
        """Load the predictor and its card.

        Raises:
            ModelError: A model is missing or damaged.
            InputError: The model on this machine is another one.
        """
        from bigkingxxl.inference.load_ensemble import load_ensemble

        paths = [resolve_model(each) for each in self.models]
        for path, known in zip(paths, self.hashes, strict=True):
            if (here := model_hash(path)) != known:
                raise InputError(
                    f"{path} differs on this machine ({here}) from the model of the run "
                    f"({known}): use the same file on all machines",
                    file=path,
                    found=here,
                    expected=known,
                )
        return load_ensemble(
            paths, self.device, weights=self.weights, changes=self.changes, scale=self.scale,
            cell_type=self.cell_type, type_vote=self.type_vote, tile=self.tile,
            points=self.points,
        )  # fmt: skip


@dataclass(frozen=True)
class Job:
    """Everything that determines a run, as it is sent to other processes.

    Attributes:
        out: The run's folder, the same on all machines.
        version: Version of this software.
    """

    out: Path
    settings: RunSettings
    selection: Selection
    reading: OpenOptions
    loading: Loading
    overwrite: bool = False
    version: str = field(default_factory=own_version)

    def pipeline(self, settings: RunSettings | None = None) -> Pipeline:
        """Load the models and return what is done with every image.

        Raises:
            ModelError, InputError: See `Loading.load`.
        """
        from bigkingxxl.inference.domain.quality_assessment import assess_quality

        predictor, card = self.loading.load()
        return Pipeline(
            settings or self.settings,
            self.selection,
            predictor,
            partial(assess_quality, card),
            self.overwrite,
        )


@dataclass(frozen=True)
class Task:
    """A piece of a run for one process.

    Attributes:
        file: Position of the file among the run's files.
        path: The file.
        name: Its id.
        image: Which image of the file; None for all that it holds.
        block: Which unit of the image; `FINISH` for what follows them all.
        wait: Wait for another process that is working on it.
        state: The state of the file when it was opened first; None if that is this task's part.
        if_ready: Finish a large image only if all its blocks are done, by whichever shard.
        part_name: Id of the image, if the task is only a part of the file.
    """

    file: int
    path: Path
    name: str
    image: int | None = None
    block: int = 0
    wait: bool = False
    if_ready: bool = False
    state: FileState | None = None
    part_name: str = ""

    @property
    def image_id(self) -> str:
        """The id of the image, or of the file if its images are not known yet."""
        return self.part_name or self.name


@dataclass(frozen=True)
class Part:
    """An image that is done in several tasks.

    Attributes:
        name: Id of the image.
        units: Number of units.
        pixels: Number of pixels of its largest unit.
    """

    name: str
    units: int
    pixels: int


@dataclass(frozen=True)
class Done:
    """The result of a task.

    Attributes:
        task: The task.
        outcome: Outcome of the image, if it is done or failed.
        parts: The images of a file that is done in several tasks.
        opened: Whether the file could be opened.
        is_busy: Whether another process is working on it.
        seconds: How long the task took.
        state: The state of the file when it was opened.
    """

    task: Task
    outcome: Outcome | None = None
    parts: tuple[Part, ...] = ()
    opened: bool = True
    is_busy: bool = False
    seconds: float = 0.0
    state: FileState | None = None


class Station:
    """A process that works on a run; the first task loads the models, once.

    Any number of threads may do tasks at once.
    """

    def __init__(self, job: Job) -> None:
        if job.version != own_version():
            raise InputError(
                f"this worker has bigkingxxl {own_version()}, but the run was started by "
                f"{job.version}: install the same version everywhere",
                key="version",
                found=own_version(),
                expected=job.version,
            )
        self.job, self.store = job, RunStore(job.out)
        self._lock = Lock()
        self._open: tuple[tuple[Path, FileState | None], Sequence[RunImage]] | None = None

    @cached_property
    def pipeline(self) -> Pipeline:
        """What is done with every image."""
        return self.job.pipeline(self.check())

    def check(self) -> RunSettings:
        """Return the settings of the run as its folder has them.

        Raises:
            InputError: The folder holds another run, or cannot be reached from here.
        """
        settings = self.store.settings()
        if settings is None or settings.run != self.job.settings.run:
            found = "no run is" if settings is None else "another run is"
            raise InputError(
                f"{found} in {self.job.out} on this worker: all machines must see the same folder "
                "of results, and each run needs a folder of its own",
                file=self.job.out,
                key="--out",
            )
        return settings

    def do(self, task: Task) -> Done:
        """Do a task; an error with its image becomes the outcome.

        Raises:
            OutputError: Nothing can be written any more.
            ModelError, InputError: The models or the run here are not those of the job.
        """
        began = time.monotonic()
        with self._lock:
            pipeline = self.pipeline
        done = self._done(pipeline, task)
        return replace(done, seconds=time.monotonic() - began)

    def _done(self, pipeline: Pipeline, task: Task) -> Done:
        try:
            images, opened = self._images(task)
        except Exception as error:
            if is_for_all(error):
                raise
            failed = fail(self.store, pipeline.settings, task.image_id, task.path, error)
            return Done(task, failed, opened=False)
        if task.image is None:
            parts = tuple(_part(each.source) for each in images)
            if len(parts) != 1 or parts[0].units > 1 or parts[0].pixels > ALONE_ABOVE:
                return Done(task, parts=parts, state=opened)
        image = images[task.image or 0]
        if task.block == FINISH and task.if_ready and not is_ready(self.store, pipeline, image):
            return Done(task)
        if task.block == FINISH:
            outcome = finish_image(self.store, pipeline, image, wait=task.wait)
            return Done(task, outcome, is_busy=outcome is None)
        units = units_of(image.name, image.source.shape)
        outcome = do_unit(self.store, pipeline, image, units[task.block], wait=task.wait)
        return Done(task, outcome, is_busy=outcome is None and len(units) == 1)

    def _images(self, task: Task) -> tuple[Sequence[RunImage], FileState | None]:
        """Return the images of the task's file, which stays open for the tasks after it.

        Raises:
            ImageError: It cannot be read, or it is not the file that another worker opened before.
        """
        state = FileState.of(task.path)
        if task.state is not None and state != task.state:
            raise changed(task.path)
        with self._lock:
            known = self._open
        if known is not None and known[0] == (task.path, state) and task.image is not None:
            return known[1], state
        images = opened_images(partial(self.job.reading.open, name=task.name), task.path)
        with self._lock:
            self._open = ((task.path, state), images)
        return images, state


def _part(source: ImageSource) -> Part:
    units = len(units_of(source.name, source.shape))
    return Part(source.name, units, source.shape[0] * source.shape[1] // units)
