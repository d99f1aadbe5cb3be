"""Prediction of many images in one process: each is done once, and none is lost.

An interrupted run continues where it stopped, several processes may share one folder, and other
formats are written from stored results. While the network runs on one image, the cells of the
previous one are decoded and written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from bigkingxxl.images import ImageSource
from bigkingxxl.inference.thread_pool import Task, in_order
from bigkingxxl.io.images.folders import stem_of
from bigkingxxl.processes import threads_allowed
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.deadline import Deadline
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.obsolete import forget_alone, remove_obsolete
from bigkingxxl.runs.outcome import Outcome, fail, is_for_all
from bigkingxxl.runs.outputs import chosen_formats
from bigkingxxl.runs.path_conflicts import check_path_conflicts
from bigkingxxl.runs.pipeline import Pipeline, RunImage, opened_images
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.shards import WHOLE, Shard, begin_shard, end_shard, listing_of
from bigkingxxl.runs.store import RunSettings, RunStore
from bigkingxxl.runs.tables import make_tables
from bigkingxxl.runs.work_units import Unit, do_unit, finish_image, is_ready, units_of

log = logging.getLogger(__name__)

OpenImages = Callable[[Path], Sequence[ImageSource]]
FEWEST_AHEAD, MOST_AHEAD = 2, 4  # images in progress at once
ALONE_ABOVE = 2**22  # pixels; a larger image is processed alone


def run_settings(
    key: str, selection: Selection, formats: Sequence[str], *, model: str = "",
    reading: dict[str, object] | None = None, models: Sequence[str] = (),
) -> RunSettings:  # fmt: skip
    """Return the settings of a run.

    Args:
        key: Fingerprint of the model and of all settings that decide the candidates.
        selection: How cells are selected from the candidates.
        formats: Names of formats, or 'all'.
        model: Hash of the model, which the tables name.
        reading: How images are opened.
        models: The model's names or files, for people and for the viewer.

    Raises:
        InputError: A format is unknown.
    """
    return RunSettings(
        key, fingerprint([key, repr(selection)]), model, chosen_formats(formats), reading or {},
        {
            "cell_type": selection.cell_type, "min_score": selection.min_score,
            "min_area": selection.min_area, "exclude_border": selection.exclude_border,
            "keep_blurred": selection.keep_blurred,
            "points": selection.points.model_dump(mode="json"),
            "models": [_lasting(name) for name in models],
        },
    )  # fmt: skip


def _lasting(model: str) -> str:
    """Return a model's name; for a file, its absolute path."""
    return str(Path(model).absolute()) if Path(model).is_file() else model


def predict_folder(
    pipeline: Pipeline,
    paths: Iterable[Path],
    open_images: OpenImages,
    out: Path,
    *,
    name_of: Callable[[Path], str] = stem_of,
    label: str = "predicting",
    ahead: int | None = None,
    shard: Shard = WHOLE,
    deadline: Deadline | None = None,
) -> FolderResult:
    """Predict images and write the chosen formats into `out`.

    If an image fails, it is listed in the result and the others are still finished.

    Args:
        pipeline: What is done with every image. It also shows the progress, file by file; results
            of other settings are replaced.
        paths: The image files.
        open_images: Opens the images of a file (a time-lapse has several).
        out: The folder of the run.
        name_of: Returns the id to use for a file that cannot be opened.
        label: What the progress bar says is being done.
        ahead: Images in progress at once, each in a thread; the results do not depend on it. By
            default as many as there are cores, but two to four.
        shard: The part of the images to do; a part leaves the tables to `make_tables`.
        deadline: Once it is due, no further image is begun and no table is made.

    Raises:
        InputError: A run of other settings is working in the folder, or images lie among the
            results.
        OutputError: `out` cannot be written.
    """
    paths = list(paths)
    if pipeline.predictor is not None:
        check_path_conflicts(paths, out)
    store, deadline = RunStore(out), deadline or Deadline()
    with store.at_work(pipeline.settings, clear=shard.is_whole) as settings:
        listing = listing_of((name_of(path), path) for path in paths)
        begin_shard(store, settings.run, shard, listing)
        pipeline = replace(pipeline, settings=settings)
        run = _Run(store, pipeline, name_of, shard, deadline, paths, listing)
        ahead = ahead or min(max(threads_allowed(), FEWEST_AHEAD), MOST_AHEAD)
        units = run.finished(open_images, ahead)
        for _ in pipeline.track(units, run.total, partial(run.label, label)):
            pass
        run.finish_busy()
        run.end()
    return run.result


def label_of(doing: str, in_blocks: Sequence[str], is_one_image: bool) -> str:
    """Return what is being done, in terms of the units that are counted.

    Args:
        doing: Such as 'predicting'.
        in_blocks: Ids of the images that are processed in blocks.
        is_one_image: Whether the run has no other image.
    """
    if not in_blocks:
        return doing
    return f"{doing} {in_blocks[0]}, blocks" if is_one_image else f"{doing} images and blocks"


@dataclass(frozen=True)
class _Run:
    """A run over many images: what it uses, and its progress."""

    store: RunStore
    pipeline: Pipeline
    name_of: Callable[[Path], str]
    shard: Shard
    deadline: Deadline
    paths: Sequence[Path]
    listing: str
    result: FolderResult = field(default_factory=FolderResult)
    opened: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    busy: list[Callable[[], Outcome | None]] = field(default_factory=list)
    extra: list[int] = field(default_factory=list)
    in_blocks: list[str] = field(default_factory=list)

    @cached_property
    def own(self) -> list[tuple[int, Path]]:
        """Return the files that may hold something of this run's shard, with their positions."""
        count = len(self.paths)
        return [(file, path) for file, path in enumerate(self.paths)
                if self.shard.may_open(file, count)]  # fmt: skip

    def total(self) -> int:
        """Return the number of units, done or left; an unopened file counts as one."""
        return len(self.own) + sum(self.extra)

    def label(self, doing: str) -> str:
        """Return what is being done, such as 'predicting slide, blocks'."""
        return label_of(doing, self.in_blocks, len(self.paths) == len(self.names) == 1)

    def finished(self, open_images: OpenImages, ahead: int) -> Iterator[Path]:
        """Yield the file of each unit that is done; to finish a large image is no unit."""
        with closing(in_order(self._tasks(open_images), ahead, ALONE_ABOVE)) as outcomes:
            for path, outcome in outcomes:
                if (done := outcome.result()) is not None:
                    self.result.note(done)
                if path is not None:
                    yield path

    def _tasks(self, open_images: OpenImages) -> Iterator[Task[Path | None, Outcome | None]]:
        """Yield the units of all files until the deadline is due."""
        for begun, (file, path) in enumerate(self.own):
            for task in self._tasks_of(file, path, open_images):
                if self.deadline.is_due:
                    self.result.stopped = self.deadline.reason
                    self.result.left = len(self.own) - begun
                    return
                yield task

    def _tasks_of(
        self, file: int, path: Path, open_images: OpenImages
    ) -> Iterator[Task[Path | None, Outcome | None]]:
        """Yield the units of a file; an error on opening is raised when its turn comes."""
        is_ours = self.shard.has_unit(file, len(self.paths), 0)
        try:
            images = opened_images(open_images, path)
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
        if not self.shard.is_whole and alone not in {each.name for each in images}:
            self.result.removed += forget_alone(self.store, alone, path)
        own = [self._own_units(file, index, image) for index, image in enumerate(images)]
        self.extra.append(sum(map(len, own)) - 1)
        for image, units in zip(images, own, strict=True):
            if image.name in self.names:
                again = f"{path} contains a second image '{image.name}': use a separate run for it"
                if is_ours:
                    yield Task(path, partial(_same, Outcome(image.name, failure=again)))
                continue
            self.names.add(image.name)
            yield from self._tasks_in(image, units)

    def _own_units(self, file: int, index: int, image: RunImage) -> list[Unit]:
        """Return the units of an image that belong to this shard."""
        units = units_of(image.name, image.source.shape)
        count = len(self.paths)
        return [unit for place, unit in enumerate(units)
                if self.shard.has_unit(file, count, index, place, len(units))]  # fmt: skip

    def _tasks_in(
        self, image: RunImage, units: Sequence[Unit]
    ) -> Iterator[Task[Path | None, Outcome | None]]:
        """Yield the units of an image, and the task that finishes a large one."""
        pixels = image.source.shape[0] * image.source.shape[1]
        if any(unit.block is not None for unit in units):
            self.in_blocks.append(image.name)
        for unit in units:
            # blocks are small whatever the size of their image
            is_whole = unit.block is None
            yield Task(
                image.path, partial(self._timed, partial(self._unit, image, unit)),
                alone=is_whole and pixels > ALONE_ABOVE,
                size=pixels if is_whole else ALONE_ABOVE // FEWEST_AHEAD,
            )  # fmt: skip
        if any(unit.block is not None for unit in units):
            yield Task(None, partial(self._finish, image), alone=True)

    def _timed(self, work: Callable[[], Outcome | None]) -> Outcome | None:
        began = time.monotonic()
        try:
            return work()
        finally:
            self.deadline.note(time.monotonic() - began)

    def _failed(self, image_id: str, path: Path, error: Exception) -> Outcome:
        self.names.add(image_id)
        return fail(self.store, self.pipeline.settings, image_id, path, error)

    def _unit(self, image: RunImage, unit: Unit) -> Outcome | None:
        if image.name in self.result.failed:  # along with another of its blocks
            return None
        outcome = do_unit(self.store, self.pipeline, image, unit, wait=False)
        if outcome is None and unit.block is None:  # another process is working on it
            self.busy.append(partial(do_unit, self.store, self.pipeline, image, unit))
        return outcome

    def _finish(self, image: RunImage) -> Outcome | None:
        """Finish a large image once its blocks are done; of several shards, the last does it."""
        if image.name in self.result.failed:
            return None
        if not self.shard.is_whole and not is_ready(self.store, self.pipeline, image):
            return None
        outcome = finish_image(self.store, self.pipeline, image, wait=False)
        if outcome is None:
            self.busy.append(partial(finish_image, self.store, self.pipeline, image))
        return outcome

    def finish_busy(self) -> None:
        """Do the units that other processes were working on, if they left them undone."""
        for begun, work in enumerate(self.busy):
            if self.result.stopped or self.deadline.is_due:
                self.result.stopped = self.result.stopped or self.deadline.reason
                self.result.left += len(self.busy) - begun
                return
            if (done := work()) is not None:
                self.result.note(done)

    def end(self) -> None:
        """Remove obsolete results and make the tables if this is the whole run."""
        self.result.is_part = not self.shard.is_whole
        if self.result.stopped:
            return
        end_shard(self.store, self.pipeline.settings.run, self.shard, self.listing)
        if self.shard.is_whole:
            if self.pipeline.predictor is not None:
                self.result.removed = remove_obsolete(
                    self.store, self.pipeline.settings, self.opened, self.names
                )
            self.result.tables = make_tables(
                self.store, self.pipeline.settings, overwrite=self.pipeline.overwrite
            )
            self.result.kept += self.result.tables.kept


def _same(outcome: Outcome) -> Outcome:
    return outcome
