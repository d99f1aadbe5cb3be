"""The outcome of an image, and the record of an image that failed."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.errors import BigKingXXLError, OutputError, reason_of
from bigkingxxl.provenance import own_version
from bigkingxxl.runs.corrected import correction_of
from bigkingxxl.runs.pipeline import RunImage
from bigkingxxl.runs.records import Record, Stamp
from bigkingxxl.runs.store import CANDIDATES, FAILURE, KINDS, RunSettings, RunStore

log = logging.getLogger(__name__)

BLANK = "the image is constant or empty, so no cells were sought"
NOBODY_CAN_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


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


def failed_or_for_all(
    store: RunStore, settings: RunSettings, image: RunImage, error: Exception
) -> Outcome:
    """Return the outcome of an image that failed; re-raise errors that every image would meet."""
    if is_for_all(error):
        raise error
    log.debug("%s failed", image.name, exc_info=error)
    return fail(store, settings, image.name, image.path, error, image.frame)


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
