"""The work of a run and its outcome for an image, shared by every module that does it.

What belongs here: a run's image and work, the outcome of an image, failures and their records. What
does not: doing it (`unit` for an image held in memory, `large` for one in blocks).
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import BigKingXXLError, OutputError, reason_of
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.quality_assessment import QualityAssessment
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import LABELS
from bigkingxxl.provenance import own_version
from bigkingxxl.runs.corrected import Correction, correction_of
from bigkingxxl.runs.records import Record, Stamp
from bigkingxxl.runs.selection import STORED, Selection
from bigkingxxl.runs.store import (
    CANDIDATES,
    CELLS,
    FAILURE,
    KINDS,
    RunSettings,
    RunStore,
)

log = logging.getLogger(__name__)

Judge = Callable[[ImageSource, Candidates, Instances], QualityAssessment]
BLANK = "the image is constant or empty, so no cells were sought"
NOBODY_CAN_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


@dataclass(frozen=True)
class RunImage:
    """An image of a run.

    Attributes:
        source: The opened image, whose `name` is its id in the run.
        path: The image file.
        frame: Which plane of the file it is, counted from 0; None if it is the only one.
    """

    source: ImageSource
    path: Path
    frame: int | None = None

    @property
    def name(self) -> str:
        """The id of the image."""
        return self.source.name


@dataclass(frozen=True)
class Work:
    """What is done with every image of a run.

    Attributes:
        predictor: None if only label images are measured again.
        judge: Predicts the quality of the cells found in an image.
        overwrite: Also replace files that a person changed or made.
        track: Shows the progress of a large image.
        made_by: The settings that made the image's cells if they are not the run's; see `work_on`.
    """

    settings: RunSettings
    selection: Selection
    predictor: Predictor | None = None
    judge: Judge | None = None
    overwrite: bool = False
    track: Track = untracked
    made_by: RunSettings | None = None

    @property
    def maker(self) -> RunSettings:
        """The settings that make the image's cells."""
        return self.made_by or self.settings

    def replaces(self, kind: str, correction: Correction | None) -> bool:
        """Whether a file that a person changed is replaced.

        Measuring never replaces label images or the other sources of the cells.
        """
        is_source = correction is not None and kind in correction.changed
        return self.overwrite and (self.predictor is not None or not (kind == LABELS or is_source))


def work_on(store: RunStore, work: Work, image_id: str) -> tuple[Work, Correction | None]:
    """Return the work for an image, and the correction of its cells by a person.

    Corrected cells are kept with the model and the settings that made them, whichever the run has
    now; none of them is predicted again.

    Raises:
        FormatError: The corrected cells are damaged, or were corrected in two places.
    """
    correction = correction_of(store, image_id)
    if correction is None:
        return work, None
    if correction.viewed is None and work.overwrite and work.predictor is not None:
        return work, None
    maker = _maker(store, work.settings, image_id)
    if maker is None:
        return work, correction
    kept = replace(work, predictor=None, judge=None, selection=STORED, made_by=maker)
    return kept, correction


def _maker(store: RunStore, settings: RunSettings, image_id: str) -> RunSettings | None:
    """Return the settings that made the stored cells, or None if they are the run's."""
    cells, candidates = (store.record(kind, image_id) for kind in (CELLS, CANDIDATES))
    if cells is None:
        return None
    key = cells.details.get("candidates") or (settings if candidates is None else candidates).key
    if (key, cells.key) == (settings.key, settings.run):
        return None
    return replace(settings, key=key, run=cells.key, model=cells.model)


@dataclass(frozen=True)
class Outcome:
    """The outcome of an image.

    Attributes:
        image: Id of the image.
        cells: Number of cells; None if the image failed.
        failure: Why it failed, or "".
        diameter: The cell diameter assumed, in pixels.
        expected_quality: Of the cells.
        is_new: Whether anything was made.
        warnings: Sentences on the image.
        kept: Files that a person changed or made, which were not touched.
        corrected: Folder of the corrected cells from which everything is made, or ""; see
            `Correction`.
        made_by: Hash of the model that made the corrected cells if the run has another model or
            other settings, or "".
        replaced: Another image's file, still there, whose results lay under this id.
        remarks: Sentences on what may differ from a user's expectation.
        damage: What could not be read of the image although the rest was done, or "".
    """

    image: str
    cells: int | None = None
    is_new: bool = True
    failure: str = ""
    warnings: tuple[str, ...] = ()
    kept: tuple[Path, ...] = ()
    corrected: str = ""
    made_by: str = ""
    replaced: Path | None = None
    remarks: tuple[str, ...] = ()
    damage: str = ""
    diameter: float | None = None
    expected_quality: float | None = None


def failed_or_for_all(store: RunStore, work: Work, image: RunImage, error: Exception) -> Outcome:
    """Return the outcome of an image that failed; re-raise errors that every image would meet."""
    if is_for_all(error):
        raise error
    log.debug("%s failed", image.name, exc_info=error)
    return fail(store, work.settings, image.name, image.path, error, image.frame)


def is_for_all(error: Exception) -> bool:
    """Whether every other image would meet the error too, such as a full or read-only disk."""
    cause = error.__cause__
    is_output = isinstance(error, OutputError) and isinstance(cause, OSError)
    return is_output and isinstance(cause, OSError) and cause.errno in NOBODY_CAN_WRITE


def fail(
    store: RunStore, settings: RunSettings, image_id: str, path: Path, error: Exception,
    frame: int | None = None,
) -> Outcome:  # fmt: skip
    """Note that an image failed, and remove what an earlier run of other settings made of it.

    Raises:
        OutputError: The record cannot be written.
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
    if not _is_corrected(store, image_id):
        for kind in KINDS:
            record = store.record(kind, image_id)
            if record is not None and not _is_of(record, settings):
                store.remove(kind, image_id)
    return Outcome(image_id, failure=reason)


def _is_corrected(store: RunStore, image_id: str) -> bool:
    """Whether a person corrected the cells as far as is known, so that none of them is removed."""
    try:
        return correction_of(store, image_id) is not None
    except BigKingXXLError:
        return True


def _is_of(record: Record, settings: RunSettings) -> bool:
    if record.kind == CANDIDATES:
        return record.key == settings.key
    return record.details.get("run") == settings.run
