"""The unit of work: one image, from its pixels to its files and records.

It needs nothing but the run's folder and the image, is done once however often it is asked for,
and stands beside any number of others in other threads, processes and machines.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.tracking import Track, untracked
from bigkingxxl.errors import FormatError, ImageError, InputError, OutputError, reason_of
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.judgement import Judgement
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import CorrectedImage
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.io.annotations.run_cells import (
    NumberedCells,
    corrected_cells,
    load_cells,
    save_cells,
)
from bigkingxxl.provenance import fingerprint, own_version
from bigkingxxl.runs.outputs import IMAGE_FORMATS, PredictedImage, details_of
from bigkingxxl.runs.records import Record, Stamp
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import (
    CANDIDATES,
    CELLS,
    FAILURE,
    KINDS,
    SUMMARY,
    Found,
    RunSettings,
    RunStore,
    State,
    belongs,
    format_key,
)
from bigkingxxl.runs.viewed import check_same_image, identity_of, viewed_image

log = logging.getLogger(__name__)

Judge = Callable[[ImageSource, Candidates, Instances], Judgement]
BLANK = "the image is constant or empty, so no cells were sought"
NOBODY_CAN_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


@dataclass(frozen=True)
class RunImage:
    """An image of a run.

    Attributes:
        source: the opened image, whose `name` is its id in the run; path: its file.
        frame: which plane of the file it is, counted from 0; None where it is the only one.
    """

    source: ImageSource
    path: Path
    frame: int | None = None

    @property
    def name(self) -> str:
        """Its id."""
        return self.source.name


@dataclass(frozen=True)
class Work:
    """What is done with every image of a run.

    Attributes:
        predictor: None where only label images are measured again.
        judge: says how good the cells found in an image may be.
        overwrite: also files that a person changed or made.
        track: shows how far a large image is done.
    """

    settings: RunSettings
    selection: Selection
    predictor: Predictor | None = None
    judge: Judge | None = None
    overwrite: bool = False
    track: Track = untracked


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
        image: its id; cells: how many, None where it failed; failure: why, or "".
        diameter: that the cells were taken to have, in pixels; expected_quality: of the cells.
        is_new: whether anything was made; warnings: sentences on the image.
        kept: files that a person changed or made, and which were left alone; is_corrected: among
            them the label image, of which the others are made.
        replaced: another image's file, still there, whose results were under this id.
        remarks: sentences on what is not as a user may think; damage: on what of it could not be
            read, while the rest is done, or "".
    """

    image: str
    cells: int | None = None
    is_new: bool = True
    failure: str = ""
    warnings: tuple[str, ...] = ()
    kept: tuple[Path, ...] = ()
    is_corrected: bool = False
    replaced: Path | None = None
    remarks: tuple[str, ...] = ()
    damage: str = ""
    diameter: float | None = None
    expected_quality: float | None = None


def predict_one(
    store: RunStore, work: Work, image: RunImage, *, wait: bool = True
) -> Outcome | None:
    """Do one image, or what is left to do of it; whatever goes wrong with it is in the outcome.

    Args:
        wait: for another process that is at work on it; else that gives None.

    Raises:
        OutputError: nothing can be written into the folder any more.
    """
    with store.locked(f"image {image.name}", wait=wait) as is_mine:
        if not is_mine:
            return None
        try:
            return _Unit(store, work, image).done()
        except Exception as error:
            return failed_or_for_all(store, work, image, error)


def failed_or_for_all(store: RunStore, work: Work, image: RunImage, error: Exception) -> Outcome:
    """The outcome of an image that failed; an error that would meet every other one goes on."""
    if is_for_all(error):
        raise error
    log.debug("%s failed", image.name, exc_info=error)
    return fail(store, work.settings, image.name, image.path, error, image.frame)


def is_for_all(error: Exception) -> bool:
    """Whether an error would meet every other image as well: a full or forbidden disk."""
    cause = error.__cause__
    is_output = isinstance(error, OutputError) and isinstance(cause, OSError)
    return is_output and isinstance(cause, OSError) and cause.errno in NOBODY_CAN_WRITE


def fail(
    store: RunStore, settings: RunSettings, image_id: str, path: Path, error: Exception,
    frame: int | None = None,
) -> Outcome:  # fmt: skip
    """Note that an image failed; what an earlier run of other settings made of it goes.

    Raises:
        OutputError: the record cannot be written.
    """
    reason = reason_of(error, path)
    try:
        seen: Stamp | None = store.stamp(path)
    except OSError:
        seen = None
    store.keep(Record(
        image_id, FAILURE, str(path.absolute()), frame, seen, settings.run, settings.model,
        own_version(), failure=reason,
    ))  # fmt: skip
    for kind in KINDS:
        record = store.record(kind, image_id)
        if record is not None and not _is_of(record, settings):
            store.remove(kind, image_id)
    return Outcome(image_id, failure=reason)


def _is_of(record: Record, settings: RunSettings) -> bool:
    if record.kind == CANDIDATES:
        return record.key == settings.key
    return record.details.get("run") == settings.run


@dataclass
class _Unit:
    """One image of a run, and what is known of it so far."""

    store: RunStore
    work: Work
    image: RunImage

    def done(self) -> Outcome:
        """Make what is missing."""
        found = {
            kind: self._find(kind) for kind in self.work.settings.formats if kind in IMAGE_FORMATS
        }
        missing = [kind for kind, each in found.items() if not self._is_done(kind, each)]
        left = [kind for kind in found if found[kind].is_somebodys and not self._replaces(kind)]
        kept = tuple(self.store.place(kind, self.image.name) for kind in left)
        to_write = [kind for kind in missing if kind not in left]
        before = summary = self.store.record(SUMMARY, self.image.name)
        is_summed = (
            summary is not None
            and belongs(summary, format_key(self.identity, SUMMARY), self.seen)
            and summary.path == str(self.image.path.absolute())  # else it was moved
        )
        if summary is None or not is_summed or to_write:
            self._write(to_write, found)
            summary = self._summarise()
        self.store.forget(FAILURE, self.image.name)
        is_corrected = self.correction is not None or self.viewed is not None
        row = summary.details["row"]
        return Outcome(
            self.image.name, row["cells"], bool(to_write) or not is_summed,
            "", summary.warnings, kept, is_corrected, self._replaced(before),
            diameter=row.get("diameter"), expected_quality=row.get("expected_quality"),
        )  # fmt: skip

    def _replaced(self, before: Record | None) -> Path | None:
        """Another image's file, whose results were under this name before."""
        if before is None or before.seen is None or before.seen.sha256 == self.seen.sha256:
            return None
        is_other = before.path != str(self.image.path.absolute()) and not before.is_gone()
        return before.file if is_other else None

    @cached_property
    def seen(self) -> Stamp:
        """The image's file as it is."""
        known = self.store.record(SUMMARY, self.image.name)
        return self.store.stamp(self.image.path, None if known is None else known.seen)

    @cached_property
    def viewed(self) -> CorrectedImage | None:
        """What a person corrected in the viewer; the run's own label image stays as it is."""
        return viewed_image(self.store, self.image.name)

    @cached_property
    def correction(self) -> Found | None:
        """The label image, where a person changed it since it was written."""
        labels = self._find("labels")
        is_corrected = labels.state is State.CHANGED and not self._replaces("labels")
        return labels if is_corrected else None

    def _replaces(self, kind: str) -> bool:
        """Whether files that a person changed are replaced; by measuring, label images never."""
        return self.work.overwrite and (kind != "labels" or self.work.predictor is not None)

    @cached_property
    def identity(self) -> str:
        """The fingerprint of what the cells are."""
        if self.viewed is not None:
            return identity_of(self.viewed, self.work.settings.run)
        if self.correction is None or self.correction.stamp is None:
            return self.work.settings.run
        return fingerprint([self.work.settings.run, self.correction.stamp.sha256])

    def _key(self, kind: str) -> str:
        if kind in IMAGE_FORMATS and IMAGE_FORMATS[kind].of_candidates:
            return format_key(self.work.settings.key, kind)
        if kind == "labels" and self.viewed is not None:
            return format_key(self.work.settings.run, kind)
        return format_key(self.identity, kind)

    def _find(self, kind: str) -> Found:
        return self.store.find(kind, self.image.name)

    def _is_done(self, kind: str, found: Found) -> bool:
        if kind == "labels" and self.correction is not None:
            return True
        return found.is_done(self._key(kind), self.seen)

    # ---- from pixels to cells -------------------------------------------------------------------

    @cached_property
    def candidates(self) -> Candidates:
        """Everything seen in the image: stored, or seen now."""
        found, key = self._find(CANDIDATES), self.work.settings.key
        place = self.store.place(CANDIDATES, self.image.name)
        if found.is_done(key, self.seen):
            try:
                return Candidates.load(place)
            except FormatError:
                pass
        if self.work.predictor is None:
            raise ImageError(
                f"{self.image.path} has no candidates of this run any more: predict it again"
            )
        candidates = self.work.predictor.candidates(self.image.source)
        scale_of = getattr(self.work.predictor, "scale_of", None)
        scale = None if scale_of is None else float(scale_of(candidates))
        self.store.write(self._record(CANDIDATES, key, scale=scale), _ours(found), candidates.save)
        return candidates

    @cached_property
    def selected(self) -> Instances:
        """The cells selected from the candidates: stored, or selected now; once a run."""
        found, key = self._find(CELLS), self.work.settings.run
        has_candidates = self.work.predictor is None or self._find(CANDIDATES).is_done(
            self.work.settings.key, self.seen
        )
        if has_candidates and found.is_done(key, self.seen):
            try:
                return load_cells(self.store.place(CELLS, self.image.name))
            except FormatError:
                pass
        source = self.image.source
        cells = self.work.selection.instances(self.candidates, source.pixel_size_um)
        warnings = (BLANK,) if source.statistics.is_blank else ()
        judge = self.work.judge
        found_out = Judgement() if judge is None else judge(source, self.candidates, cells)
        record = self._record(
            CELLS, key, (*warnings, *found_out.warnings),
            diameter=self.candidates.cell_diameter, expected_quality=found_out.expected_quality,
        )  # fmt: skip
        self.store.write(record, _ours(found), lambda path: save_cells(path, cells))
        return cells

    @cached_property
    def cells(self) -> NumberedCells:
        """The cells of the image: those selected, or those that a person corrected."""
        if self.viewed is not None:
            check_same_image(self.viewed, self.seen)
            return self.viewed.cells()
        if self.correction is None:
            return NumberedCells.of(self.selected)
        place = self.store.place("labels", self.image.name)
        record = self.correction.record
        if record is None or record.seen is None or record.seen.sha256 != self.seen.sha256:
            raise FormatError(
                f"{place} was corrected for another image than {self.image.path} is now: move it "
                "away and predict again, then put it back where it fits the new one (--overwrite "
                "replaces it)"
            )
        try:
            labels = read_label_image(place)
        except InputError as error:
            raise FormatError(
                f"{place} was changed, and is no label image any more ({error}): save it as a TIFF "
                "of whole numbers, or remove it and predict again"
            ) from error
        if labels.shape != self.image.source.shape:
            height, width = self.image.source.shape
            raise FormatError(
                f"{place} is {labels.shape[1]} x {labels.shape[0]} pixels, but its image "
                f"{self.image.path} is {width} x {height}"
            )
        return corrected_cells(labels, self.selected, self.image.source.pixel_size_um)

    # ---- files and records ----------------------------------------------------------------------

    def _write(self, kinds: list[str], found: dict[str, Found]) -> None:
        image = PredictedImage(
            self.image.source, self.cells, self.image.path, self.image.name,
            lambda: self.candidates, self.image.frame,
        )  # fmt: skip
        for kind in kinds:
            shown = image
            if kind == "labels" and self.viewed is not None:  # corrected ones lie elsewhere
                shown = replace(image, cells=NumberedCells.of(self.selected))
            write = partial(_write_format, kind, shown)
            record = self._record(kind, self._key(kind), **details_of(kind, image))
            self.store.write(record, found[kind], write)

    def _summarise(self) -> Record:
        from bigkingxxl.io.tables.summary import summarise

        stored = self.store.record(CANDIDATES, self.image.name)
        of_cells = self.store.record(CELLS, self.image.name)
        warnings = () if of_cells is None else of_cells.warnings
        known = {} if of_cells is None else of_cells.details
        is_corrected = self.correction is not None or self.viewed is not None
        row = summarise(
            self.image.name, self.cells.instances, model=self.work.settings.model,
            scale=None if stored is None else stored.details.get("scale"),
            diameter=known.get("diameter"),
            # What is expected of the model's cells says nothing of those of a person.
            expected_quality=None if is_corrected else known.get("expected_quality"),
            warnings=warnings,
        )  # fmt: skip
        record = self._record(
            SUMMARY, format_key(self.identity, SUMMARY), warnings, identity=self.identity,
            row=asdict(row),
        )  # fmt: skip
        self.store.keep(record)
        return record

    def _record(
        self, kind: str, key: str, warnings: list[str] | tuple[str, ...] = (), **details: Any
    ) -> Record:
        settings = self.work.settings
        return Record(
            self.image.name, kind, str(self.image.path.absolute()), self.image.frame, self.seen,
            key, settings.model, own_version(), warnings=tuple(warnings),
            details={"run": settings.run, **details},
        )  # fmt: skip


def _write_format(kind: str, image: PredictedImage, path: Path) -> None:
    IMAGE_FORMATS[kind].write(path, image)


def _ours(found: Found) -> Found:
    """What is kept between runs is nobody's to change: it is written again where it differs."""
    return replace(found, state=State.OURS) if found.stamp is not None else found
