"""Prediction over many images in one process: each is done once and never lost.

A broken run goes on where it stopped, several processes share one folder, and other formats are
made from what is stored. While the network looks at one image, the cells of the one before are
decoded and written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from bigkingxxl.data.tracking import Track, untracked
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.inference.thread_pool import Task, in_order
from bigkingxxl.io.images.folders import stem_of
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.apart import check_apart
from bigkingxxl.runs.deadline import Deadline
from bigkingxxl.runs.notes import FolderResult, forget_alone, remove_obsolete
from bigkingxxl.runs.outputs import chosen_formats
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.shards import WHOLE, Shard, begin_shard, end_shard
from bigkingxxl.runs.store import RunSettings, RunStore
from bigkingxxl.runs.tables import make_tables
from bigkingxxl.runs.units import Unit, do_unit, finish_image, is_ready, units_of
from bigkingxxl.runs.work import Judge, Outcome, RunImage, Work, fail, is_for_all

log = logging.getLogger(__name__)

OpenImages = Callable[[Path], Sequence[ImageSource]]
AHEAD = 2  # images worked on at once
ALONE_ABOVE = 2**22  # pixels of an image that nothing else is worked on beside


def run_settings(
    key: str, selection: Selection, formats: Sequence[str], *, model: str = "",
    reading: dict[str, object] | None = None, models: Sequence[str] = (),
) -> RunSettings:  # fmt: skip
    """The settings of a run.

    Args:
        key: fingerprint of the model and of all settings that decide candidates.
        formats: names of formats, or 'all'; model: hash of the model, for tables to name.
        reading: how images are opened; models: their names or files, for people and the viewer.

    Raises:
        InputError: an unknown format.
    """
    return RunSettings(
        key, fingerprint([key, repr(selection)]), model, chosen_formats(formats), reading or {},
        {
            "cell_type": selection.cell_type, "min_score": selection.min_score,
            "min_area": selection.min_area, "exclude_border": selection.exclude_border,
            "points": selection.points.model_dump(mode="json"),
            "models": [_lasting(name) for name in models],
        },
    )  # fmt: skip


def _lasting(model: str) -> str:
    """A model's name, of a file its path from anywhere."""
    return str(Path(model).absolute()) if Path(model).is_file() else model


def predict_folder(
    predictor: Predictor | None,
    paths: Iterable[Path],
    open_images: OpenImages,
    out: Path,
    settings: RunSettings,
    selection: Selection,
    judge: Judge | None = None,
    *,
    name_of: Callable[[Path], str] = stem_of,
    overwrite: bool = False,
    track: Track = untracked,
    label: str = "predicting",
    ahead: int = AHEAD,
    shard: Shard = WHOLE,
    deadline: Deadline | None = None,
) -> FolderResult:
    """Predict images and write the chosen formats into `out`.

    An image that fails is listed, and the others are finished.

    Args:
        predictor: None measures again what is stored.
        open_images: the images of a file (several for a time-lapse).
        settings: see `run_settings`; what other settings made is made anew.
        judge: says how good the cells found in an image may be.
        name_of: the id of a file that cannot be opened.
        overwrite: also files that a person changed or made.
        track: shows the progress, file by file; label: what is being done.
        ahead: images worked on at once, each in a thread; what is written does not depend on it.
        shard: the part of the images to do; a part leaves the tables to `make_tables`.
        deadline: where it is due no other image is begun, and no table made.

    Raises:
        InputError: a run of other settings is at work in the folder, or images lie among results.
        OutputError: `out` cannot be written.
    """
    paths = list(paths)
    if predictor is not None:
        check_apart(paths, out)
    store, deadline = RunStore(out), deadline or Deadline()
    settings = store.begin(settings, clear=shard.is_whole)
    with store.at_work(settings.run):
        store.check_alone(settings.run)
        begin_shard(store, settings.run, shard)
        work = Work(settings, selection, predictor, judge, overwrite, track)
        run = _Run(store, work, name_of, shard, deadline, paths)
        for _ in track(run.finished(open_images, ahead), run.total, label):
            pass
        run.finish_busy()
        run.end()
    return run.result


@dataclass(frozen=True)
class _Run:
    """A run over many images: what it uses, and what it has done so far."""

    store: RunStore
    work: Work
    name_of: Callable[[Path], str]
    shard: Shard
    deadline: Deadline
    paths: Sequence[Path]
    result: FolderResult = field(default_factory=FolderResult)
    opened: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    busy: list[Callable[[], Outcome | None]] = field(default_factory=list)
    extra: list[int] = field(default_factory=list)

    @cached_property
    def own(self) -> list[tuple[int, Path]]:
        """The files that may hold something of this run's shard, and their places."""
        count = len(self.paths)
        return [(file, path) for file, path in enumerate(self.paths)
                if self.shard.may_open(file, count)]  # fmt: skip

    def total(self) -> int:
        """Units that are done or left, as far as is known: of a file not opened yet, one."""
        return len(self.own) + sum(self.extra)

    def finished(self, open_images: OpenImages, ahead: int) -> Iterator[Path]:
        """The file of each unit that is done."""
        with closing(in_order(self._tasks(open_images), ahead)) as outcomes:
            for path, outcome in outcomes:
                if (done := outcome.result()) is not None:
                    self.result.note(done)
                yield path

    def _tasks(self, open_images: OpenImages) -> Iterator[Task[Path, Outcome | None]]:
        """The units of all files, until there is no time for another."""
        for begun, (file, path) in enumerate(self.own):
            for task in self._tasks_of(file, path, open_images):
                if self.deadline.is_due:
                    self.result.stopped = self.deadline.reason
                    self.result.left = len(self.own) - begun
                    return
                yield task

    def _tasks_of(
        self, file: int, path: Path, open_images: OpenImages
    ) -> Iterator[Task[Path, Outcome | None]]:
        """The units of a file; an error of opening comes in its turn."""
        is_ours = self.shard.has_unit(file, len(self.paths), 0)
        try:
            sources = open_images(path)
        except Exception as error:
            if is_for_all(error):
                raise
            if is_ours:
                yield Task(path, partial(self._failed, self.name_of(path), path, error))
            else:
                self.extra.append(-1)
            return
        self.opened.add(str(path.absolute()))
        alone = self.name_of(path)
        if not self.shard.is_whole and alone not in {each.name for each in sources}:
            self.result.removed += forget_alone(self.store, alone, path)
        images = [RunImage(each, path, getattr(each, "frame", None)) for each in sources]
        own = [self._own_units(file, index, image) for index, image in enumerate(images)]
        finishes = sum(any(unit.block is not None for unit in units) for units in own)
        self.extra.append(sum(map(len, own)) + finishes - 1)
        for image, units in zip(images, own, strict=True):
            if image.name in self.names:
                again = f"{path} holds a second image '{image.name}': give it a run of its own"
                if is_ours:
                    yield Task(path, partial(_same, Outcome(image.name, failure=again)))
                continue
            self.names.add(image.name)
            yield from self._tasks_in(image, units)

    def _own_units(self, file: int, index: int, image: RunImage) -> list[Unit]:
        """The units of an image that are of this shard."""
        units = units_of(image.name, image.source.shape)
        count = len(self.paths)
        return [unit for place, unit in enumerate(units)
                if self.shard.has_unit(file, count, index, place, len(units))]  # fmt: skip

    def _tasks_in(
        self, image: RunImage, units: Sequence[Unit]
    ) -> Iterator[Task[Path, Outcome | None]]:
        """Units of an image, and what finishes a large one."""
        is_large = image.source.shape[0] * image.source.shape[1] > ALONE_ABOVE
        for unit in units:
            alone = is_large and unit.block is None  # blocks are small whatever their image
            yield Task(image.path, partial(self._timed, partial(self._unit, image, unit)), alone)
        if any(unit.block is not None for unit in units):
            yield Task(image.path, partial(self._finish, image), alone=True)

    def _timed(self, work: Callable[[], Outcome | None]) -> Outcome | None:
        began = time.monotonic()
        try:
            return work()
        finally:
            self.deadline.note(time.monotonic() - began)

    def _failed(self, image_id: str, path: Path, error: Exception) -> Outcome:
        self.names.add(image_id)
        return fail(self.store, self.work.settings, image_id, path, error)

    def _unit(self, image: RunImage, unit: Unit) -> Outcome | None:
        if image.name in self.result.failed:  # with another of its blocks
            return None
        outcome = do_unit(self.store, self.work, image, unit, wait=False)
        if outcome is None and unit.block is None:  # another process is at work on it
            self.busy.append(partial(do_unit, self.store, self.work, image, unit))
        return outcome

    def _finish(self, image: RunImage) -> Outcome | None:
        """What follows the blocks of a large image; of several shards the last one does it."""
        if image.name in self.result.failed:
            return None
        if not self.shard.is_whole and not is_ready(self.store, self.work, image):
            return None
        if not self.shard.is_whole and not is_ready(self.store, self.work, image):
            return None
        outcome = finish_image(self.store, self.work, image, wait=False)
        if outcome is None:
            self.busy.append(partial(finish_image, self.store, self.work, image))
        return outcome

    def finish_busy(self) -> None:
        """What other processes were at work on: done by them, or left behind."""
        for begun, work in enumerate(self.busy):
            if self.result.stopped or self.deadline.is_due:
                self.result.stopped = self.result.stopped or self.deadline.reason
                self.result.left += len(self.busy) - begun
                return
            if (done := work()) is not None:
                self.result.note(done)

    def end(self) -> None:
        """Remove what is obsolete and make the tables, where this is all of a run."""
        self.result.is_part = not self.shard.is_whole
        if self.result.stopped:
            return
        end_shard(self.store, self.work.settings.run, self.shard)
        if self.shard.is_whole:
            if self.work.predictor is not None:
                self.result.removed = remove_obsolete(
                    self.store, self.work.settings, self.opened, self.names
                )
            self.result.tables = make_tables(
                self.store, self.work.settings, overwrite=self.work.overwrite
            )
            self.result.kept += self.result.tables.kept


def _same(outcome: Outcome) -> Outcome:
    return outcome
