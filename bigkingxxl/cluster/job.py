"""A run as it is sent to other processes, and a process that does tasks of it."""

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
from bigkingxxl.models import ModelCard, model_hash, resolve_model
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.provenance import own_version
from bigkingxxl.runs.folder import ALONE_ABOVE
from bigkingxxl.runs.reading import Reading
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import RunSettings, RunStore
from bigkingxxl.runs.units import do_unit, finish_image, is_ready, units_of
from bigkingxxl.runs.work import Outcome, RunImage, Work, fail, is_for_all

FINISH = -1  # the block that stands for the end of a large image


@dataclass(frozen=True)
class Loading:
    """Which models predict, and how they are loaded; see `load_ensemble`.

    Attributes:
        models: names of shipped models, or absolute paths.
        hashes: of each model file.
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
        """Of models as a user names them.

        Raises:
            ModelError: there is no such model.
        """
        paths = [resolve_model(each) for each in models]
        names = [str(path.absolute()) if Path(each).exists() else each
                 for each, path in zip(models, paths, strict=True)]  # fmt: skip
        return cls(tuple(names), tuple(model_hash(each) for each in paths), **options)

    def load(self) -> tuple[Predictor, ModelCard]:
        """The predictor and its card.

        Raises:
            ModelError: a model is missing or damaged.
            InputError: it is another one here.
        """
        from bigkingxxl.inference.load_ensemble import load_ensemble

        paths = [resolve_model(each) for each in self.models]
        for path, known in zip(paths, self.hashes, strict=True):
            if (here := model_hash(path)) != known:
                raise InputError(
                    f"{path} is another model here ({here}) than the run's ({known}): give all "
                    "machines the same file",
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
    """What decides a run, as it is sent to other processes.

    Attributes:
        out: the run's folder, the same on all machines.
        version: of this software.
    """

    out: Path
    settings: RunSettings
    selection: Selection
    reading: Reading
    loading: Loading
    overwrite: bool = False
    version: str = field(default_factory=own_version)

    def work(self, settings: RunSettings | None = None) -> Work:
        """What is done with every image; loads the models.

        Raises:
            ModelError, InputError: see `Loading.load`.
        """
        from bigkingxxl.inference.domain.judgement import judge

        predictor, card = self.loading.load()
        return Work(
            settings or self.settings,
            self.selection,
            predictor,
            partial(judge, card),
            self.overwrite,
        )


@dataclass(frozen=True)
class Task:
    """A piece of a run for one process.

    Attributes:
        file: place of the file among the run's; path, name: where it is, and its id.
        image: which image of the file; None for whatever it holds.
        block: which unit of the image, `FINISH` for what follows them all.
        wait: for another process that is at work on it.
        if_ready: end a large image only where all its blocks are done, by whichever shard.
    """

    file: int
    path: Path
    name: str
    image: int | None = None
    block: int = 0
    wait: bool = False
    if_ready: bool = False


@dataclass(frozen=True)
class Part:
    """An image that is done in tasks of its own.

    Attributes:
        name: its id; units: how many; pixels: of its largest unit.
    """

    name: str
    units: int
    pixels: int


@dataclass(frozen=True)
class Done:
    """What became of a task.

    Attributes:
        outcome: of the image, where it is done or failed.
        parts: the images of a file that is done in several tasks.
        opened: whether the file could be opened.
        is_busy: another process is at work on it.
        seconds: how long it took.
    """

    task: Task
    outcome: Outcome | None = None
    parts: tuple[Part, ...] = ()
    opened: bool = True
    is_busy: bool = False
    seconds: float = 0.0


class Station:
    """A process at work on a run: the models are loaded once, by the first task.

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
        self._open: tuple[Path, Sequence[ImageSource]] | None = None

    @cached_property
    def work(self) -> Work:
        """What is done with every image."""
        return self.job.work(self.check())

    def check(self) -> RunSettings:
        """The settings of the run as the folder has them.

        Raises:
            InputError: they are of another run, or the folder is not to be seen from here.
        """
        settings = self.store.settings()
        if settings is None or settings.run != self.job.settings.run:
            found = "no run is" if settings is None else "another run is"
            raise InputError(
                f"{found} in {self.job.out} as this worker sees it: give all machines the same "
                "folder for the results, and each run one of its own",
                file=self.job.out,
                key="--out",
            )
        return settings

    def do(self, task: Task) -> Done:
        """Do a task; what goes wrong with its image is in the outcome.

        Raises:
            OutputError: nothing can be written any more.
            ModelError, InputError: the models, or the run, are not those of the job here.
        """
        began = time.monotonic()
        with self._lock:
            work = self.work
        done = self._done(work, task)
        return replace(done, seconds=time.monotonic() - began)

    def _done(self, work: Work, task: Task) -> Done:
        try:
            sources = self._sources(task)
        except Exception as error:
            if is_for_all(error):
                raise
            failed = fail(self.store, work.settings, task.name, task.path, error)
            return Done(task, failed, opened=False)
        if task.image is None:
            parts = tuple(_part(each) for each in sources)
            if len(parts) != 1 or parts[0].units > 1 or parts[0].pixels > ALONE_ABOVE:
                return Done(task, parts=parts)
        source = sources[task.image or 0]
        image = RunImage(source, task.path, getattr(source, "frame", None))
        if task.block == FINISH and task.if_ready and not is_ready(self.store, work, image):
            return Done(task)
        if task.block == FINISH:
            outcome = finish_image(self.store, work, image, wait=task.wait)
            return Done(task, outcome, is_busy=outcome is None)
        units = units_of(source.name, source.shape)
        outcome = do_unit(self.store, work, image, units[task.block], wait=task.wait)
        return Done(task, outcome, is_busy=outcome is None and len(units) == 1)

    def _sources(self, task: Task) -> Sequence[ImageSource]:
        """The images of the task's file, which stays open for the tasks after it."""
        with self._lock:
            known = self._open
        if known is not None and known[0] == task.path and task.image is not None:
            return known[1]
        sources = self.job.reading.open(task.path, task.name)
        with self._lock:
            self._open = (task.path, sources)
        return sources


def _part(source: ImageSource) -> Part:
    units = len(units_of(source.name, source.shape))
    return Part(source.name, units, source.shape[0] * source.shape[1] // units)
