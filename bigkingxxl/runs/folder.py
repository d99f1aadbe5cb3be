"""Prediction over many images: one image is one unit of work, done once, never lost.

A broken run goes on where it stopped, several processes share one folder, and other formats are
made from what is stored. While the network looks at one image, the cells of the one before are
decoded and written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bigkingxxl.data.tracking import Track, untracked
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.ordered import Task, in_order
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.io.images.folders import stem_of
from bigkingxxl.provenance import fingerprint
from bigkingxxl.runs.outputs import chosen_formats
from bigkingxxl.runs.reading import Reading
from bigkingxxl.runs.records import Record
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import FAILURE, KINDS, SUMMARY, RunSettings, RunStore
from bigkingxxl.runs.tables import TablesResult, make_tables
from bigkingxxl.runs.unit import Outcome, RunImage, Warn, Work, fail, is_for_all, predict_one

log = logging.getLogger(__name__)

OpenImages = Callable[[Path], Sequence[ImageSource]]
AHEAD = 2  # images worked on at once
ALONE_ABOVE = 2**22  # pixels of an image that nothing else is worked on beside


@dataclass
class FolderResult:
    """What a run over many images did.

    Attributes:
        cells: number of cells by image id, in order; skipped: how many images were done before.
        failed: by image id, one sentence for each image that failed.
        warnings: by image id, sentences on what the user should know of it.
        kept: files that a person changed or made, and which were left alone.
        corrected: images whose cells are those of a label image that a person changed.
        replaced: by image id, another file whose results were under that id, and are replaced.
        removed: files of images that the run no longer has.
        tables: what became of the tables.
    """

    cells: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kept: list[Path] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)
    replaced: dict[str, Path] = field(default_factory=dict)
    removed: int = 0
    tables: TablesResult = field(default_factory=TablesResult)


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
    warn: Warn | None = None,
    *,
    name_of: Callable[[Path], str] = stem_of,
    overwrite: bool = False,
    track: Track = untracked,
    label: str = "predicting",
    ahead: int = AHEAD,
) -> FolderResult:
    """Predict images and write the chosen formats into `out`.

    An image that fails is listed, and the others are finished.

    Args:
        predictor: None measures again what is stored.
        open_images: the images of a file (several for a time-lapse).
        settings: see `run_settings`; what other settings made is made anew.
        warn: sentences on what the user should know of an image.
        name_of: the id of a file that cannot be opened.
        overwrite: also files that a person changed or made.
        track: shows the progress, file by file; label: what is being done.
        ahead: images worked on at once, each in a thread; what is written does not depend on it.

    Raises:
        InputError: a run of other settings is at work in the folder.
        OutputError: `out` cannot be written.
    """
    store = RunStore(out)
    settings = store.begin(settings)
    with store.at_work(settings.run):
        store.check_alone(settings.run)
        work = Work(settings, selection, predictor, warn, overwrite)
        run = _Run(store, work, name_of)
        total = len(paths) if isinstance(paths, Sized) else None
        for _ in track(run.finished(paths, open_images, ahead), total, label):
            pass
        run.finish_busy()
        run.remove_obsolete()
        run.result.tables = make_tables(store, settings, overwrite=overwrite)
    run.result.kept += run.result.tables.kept
    return run.result


class _Turn(NamedTuple):
    """Whose turn it is: an image of a file, its last one or not."""

    path: Path
    is_last: bool = True


@dataclass(frozen=True)
class _Run:
    """A run over many images: what it uses, and what it has done so far."""

    store: RunStore
    work: Work
    name_of: Callable[[Path], str]
    result: FolderResult = field(default_factory=FolderResult)
    opened: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    busy: list[Callable[[], Outcome | None]] = field(default_factory=list)

    def finished(
        self, paths: Iterable[Path], open_images: OpenImages, ahead: int
    ) -> Iterator[Path]:
        """The files, each when all its images are done."""
        with closing(in_order(self._tasks(paths, open_images), ahead)) as outcomes:
            for turn, outcome in outcomes:
                self._note(outcome.result())
                if turn.is_last:
                    yield turn.path

    def _tasks(
        self, paths: Iterable[Path], open_images: OpenImages
    ) -> Iterator[Task[_Turn, Outcome | None]]:
        """The images of all files; an error of opening comes in its turn."""
        for path in paths:
            try:
                sources = open_images(path)
            except Exception as error:
                if is_for_all(error):
                    raise
                yield Task(_Turn(path), partial(self._failed, self.name_of(path), path, error))
                continue
            self.opened.add(str(path.absolute()))
            for index, source in enumerate(sources):
                turn = _Turn(path, index == len(sources) - 1)
                if source.name in self.names:
                    again = f"{path} holds a second image '{source.name}': give it a run of its own"
                    failed = Outcome(source.name, failure=again)
                    yield Task(turn, partial(_same, failed))
                    continue
                self.names.add(source.name)
                image = RunImage(source, path, getattr(source, "frame", None))
                work = partial(self._predict, image)
                yield Task(turn, work, source.shape[0] * source.shape[1] > ALONE_ABOVE)

    def _failed(self, image_id: str, path: Path, error: Exception) -> Outcome:
        self.names.add(image_id)
        return fail(self.store, self.work.settings, image_id, path, error)

    def _predict(self, image: RunImage) -> Outcome | None:
        outcome = predict_one(self.store, self.work, image, wait=False)
        if outcome is None:  # another process is at work on it: look again at the end
            self.busy.append(partial(predict_one, self.store, self.work, image))
        return outcome

    def finish_busy(self) -> None:
        """What other processes were at work on: done by them, or left behind."""
        for work in self.busy:
            self._note(work())

    def _note(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        result = self.result
        result.kept += outcome.kept
        if outcome.failure:
            result.failed[outcome.image] = outcome.failure
            return
        result.cells[outcome.image] = outcome.cells or 0
        result.skipped += not outcome.is_new
        if outcome.is_corrected:
            result.corrected.append(outcome.image)
        if outcome.replaced is not None:
            result.replaced[outcome.image] = outcome.replaced
        if outcome.warnings:
            result.warnings[outcome.image] = outcome.warnings

    def remove_obsolete(self) -> None:
        """Remove what earlier runs made of this run's files under names that are no longer used.

        A time-lapse that was predicted as one image before, a file that could not be opened. Of one
        that cannot be opened now everything stays; so do other frames and positions of the same
        file, where this run was asked for some.
        """
        if self.work.predictor is None:
            return
        is_partial = Reading.is_partial(self.work.settings.reading)
        for kind in (SUMMARY, FAILURE):
            for record in self.store.records(kind):
                if record.image in self.names or record.path not in self.opened:
                    continue
                is_plane = kind == SUMMARY or record.frame is not None
                if is_partial and is_plane and self._is_of_the_file_as_it_is(record):
                    continue
                removed = [self.store.remove(each, record.image) for each in KINDS]
                self.store.forget(FAILURE, record.image)
                self.result.removed += sum(removed)

    def _is_of_the_file_as_it_is(self, record: Record) -> bool:
        seen = self.store.stamp(record.file, record.seen)
        return record.seen is not None and record.seen.sha256 == seen.sha256


def _same(outcome: Outcome) -> Outcome:
    return outcome
