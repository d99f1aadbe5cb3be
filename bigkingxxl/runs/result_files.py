"""The file of a result and its record: who made the file, and whether it is up to date."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from bigkingxxl.files import whole_file
from bigkingxxl.runs.records import Record, Stamp


class State(Enum):
    """Who made the file of a result."""

    MISSING = "missing"
    OURS = "written by a run, and not changed since"
    CHANGED = "changed since it was written"
    FOREIGN = "not written by a run"


@dataclass(frozen=True)
class Found:
    """A result as it is now: its record, its file, and who made it."""

    record: Record | None
    stamp: Stamp | None
    state: State

    def is_done(self, key: str, seen: Stamp | None) -> bool:
        """Whether the file exists and was made under a key from the image as it is now."""
        return (
            self.state is State.OURS
            and self.record is not None
            and self.stamp is not None
            and self.record.is_current(self.stamp)
            and belongs(self.record, key, seen)
        )

    @property
    def is_somebodys(self) -> bool:
        """Whether a person made or changed the file."""
        return self.state in (State.CHANGED, State.FOREIGN)


def belongs(record: Record | None, key: str, seen: Stamp | None) -> bool:
    """Whether a record was made under a key from the image as it is now."""
    if record is None or record.key != key or seen is None or record.seen is None:
        return False
    return record.seen.sha256 == seen.sha256


def find_result(record: Record | None, place: Path) -> Found:
    """Return the result at a place as it is now, given its record."""
    if not place.exists():
        return Found(record, None, State.MISSING)
    try:
        stamp = Stamp.of_result(place, None if record is None else record.output)
    except OSError:
        return Found(record, None, State.MISSING)
    if record is None:
        return Found(None, stamp, State.FOREIGN)
    return Found(record, stamp, State.OURS if record.wrote(stamp) else State.CHANGED)


def remove_result(place: Path) -> None:
    """Remove the file or folder of a result."""
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def write_result(
    place: Path, record_place: Path, record: Record, found: Found, write: Callable[[Path], Any]
) -> Record:
    """Write a file, after a record of it; see `RunStore.write`."""
    with whole_file(place) as temporary:
        write(temporary)
        ours = found.stamp is not None and found.state is State.OURS
        before = (found.stamp.sha256,) if ours and found.stamp is not None else ()
        record = replace(record, output=Stamp.of_result(temporary), replaced=before)
        # Written before the file is moved into place, so that after a kill in between both hashes
        # are known.
        record.save(record_place)
    return record
