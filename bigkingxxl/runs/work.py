"""What is done with each image of a run, and what became of it: said alike by all who do it.

What belongs here: a run's image and work, the outcome of an image, failures and their records. What
does not: doing it (`unit` for an image that is held whole, `large` for one in blocks).
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.tracking import Track, untracked
from bigkingxxl.errors import BigKingXXLError, OutputError, reason_of
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.judgement import Judgement
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
        made_by: settings that the image's cells were made with, where they are not the run's; see
            `work_on`.
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
        """The settings that the image's cells are made with."""
        return self.made_by or self.settings

    def replaces(self, kind: str, correction: Correction | None) -> bool:
        """Whether a file that a person changed is replaced.

        Measuring never replaces label images, nor what the cells are taken from.
        """
        is_source = correction is not None and kind in correction.changed
        return self.overwrite and (self.predictor is not None or not (kind == LABELS or is_source))


def work_on(store: RunStore, work: Work, image_id: str) -> tuple[Work, Correction | None]:
    """What is done with an image, and what a person made of its cells.

    What somebody corrected is kept: with the model and the settings that made it, whichever the run
    has now. Nothing of it is predicted again.

    Raises:
        FormatError: what was corrected is damaged, or was corrected in two places.
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
    """The settings that stored cells were made with; None where they are those of the run."""
    cells, candidates = (store.record(kind, image_id) for kind in (CELLS, CANDIDATES))
    if cells is None:
        return None
    key = cells.details.get("candidates") or (settings if candidates is None else candidates).key
    if (key, cells.key) == (settings.key, settings.run):
        return None
    return replace(settings, key=key, run=cells.key, model=cells.model)


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
        image: its id; cells: how many, None where it failed; failure: why, or "".
        diameter: that the cells were taken to have, in pixels; expected_quality: of the cells.
        is_new: whether anything was made; warnings: sentences on the image.
        kept: files that a person changed or made, and which were left alone.
        corrected: the folder of the corrected cells of which all is made, or ""; see `Correction`.
        made_by: hash of the model that made what was corrected, where the run has another model or
            other settings; or "".
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
    corrected: str = ""
    made_by: str = ""
    replaced: Path | None = None
    remarks: tuple[str, ...] = ()
    damage: str = ""
    diameter: float | None = None
    expected_quality: float | None = None


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
    if not _is_corrected(store, image_id):
        for kind in KINDS:
            record = store.record(kind, image_id)
            if record is not None and not _is_of(record, settings):
                store.remove(kind, image_id)
    return Outcome(image_id, failure=reason)


def _is_corrected(store: RunStore, image_id: str) -> bool:
    """Whether a person corrected the cells, as far as can be told: then nothing of them goes."""
    try:
        return correction_of(store, image_id) is not None
    except BigKingXXLError:
        return True


def _is_of(record: Record, settings: RunSettings) -> bool:
    if record.kind == CANDIDATES:
        return record.key == settings.key
    return record.details.get("run") == settings.run
