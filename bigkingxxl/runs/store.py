"""The folder of a run: its files, who made each of them, and what is done.

    run.json                    model, settings and formats of the latest run
    records/<kind>/<image>.json     one record per image and kind of result; see `records`
    candidates/<image>.npz      all candidates that the model found in an image
    cells/<image>.npz           the cells selected from them
    blocks/<image>.blocks/      both of a large image, block by block; see `large.image`
    labels/<image>.tif ...      the formats asked for; see `outputs`
    measurements.csv ...        tables of the whole run, made from the records alone

Any number of processes may work in one folder. Whether a result is done is decided for each one by
itself, by its key: the fingerprint of everything that determines it. Files that a person changed
are recognised by their content and never overwritten unless the user asks for it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

from bigkingxxl.errors import InputError, OutputError
from bigkingxxl.file_names import place_of
from bigkingxxl.files import clear_temporaries, make_folder, write_json
from bigkingxxl.io.images.tiff_files import files_of
from bigkingxxl.locks import locked
from bigkingxxl.provenance import fingerprint, own_version
from bigkingxxl.runs.outputs import IMAGE_FORMATS, RUN_FORMATS
from bigkingxxl.runs.records import Record, Stamp
from bigkingxxl.runs.result_files import Found, State, find_result, remove_result, write_result

CANDIDATES, CELLS, SUMMARY, FAILURE, TABLES = "candidates", "cells", "summary", "failure", "tables"
KINDS = (CANDIDATES, CELLS, SUMMARY, *IMAGE_FORMATS)
STORED = {CANDIDATES: "candidates", CELLS: "cells"}
RECORDS, LOCKS, RUN_FILE, BLOCKS = "records", ".locks", "run.json", "blocks"
WALK_SHARE = 50  # a folder is not walked again for this many times as long as the walk took


@dataclass(frozen=True)
class _Walk:
    """A walk over all files of a folder.

    Attributes:
        stamp: The stamp of the files found.
        next_at: When the next walk may start, by the monotonic clock.
    """

    stamp: Stamp
    next_at: float


@dataclass(frozen=True)
class _SeenFile:
    """The stamp of an image, with the inodes of its files and when these were last changed."""

    stamp: Stamp
    identity: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class RunSettings:
    """The settings that determine the results of a run, as `run.json` keeps them.

    Attributes:
        key: Fingerprint of the model and all settings that decide the candidates.
        run: Fingerprint of `key` and of everything that decides the cells.
        model: Hash of the model.
        formats: Formats asked for by this run or an earlier one.
        reading: How images are opened; see `bigkingxxl.runs.open_options`.
        selection: How cells were selected, for people to read.
    """

    key: str
    run: str
    model: str = ""
    formats: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    selection: Mapping[str, Any] = field(default_factory=dict)
    version: str = field(default_factory=own_version)


class RunStore:
    """The folder of a run.

    Args:
        folder: Path of the folder, which is created when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._stamps: dict[Path, _SeenFile] = {}
        self._walks: dict[Path, _Walk] = {}

    # ---- places ---------------------------------------------------------------------------------

    def place(self, kind: str, image_id: str) -> Path:
        """Return the path of a result's file."""
        if kind in STORED:
            place = place_of(image_id)
            return self.folder / STORED[kind] / place.with_name(f"{place.name}.npz")
        return IMAGE_FORMATS[kind].place(self.folder, image_id)

    def blocks(self, image_id: str) -> Path:
        """Return the path of the folder with the blocks of a large image."""
        place = place_of(image_id)
        return self.folder / BLOCKS / place.with_name(f"{place.name}.{BLOCKS}")

    def record_place(self, kind: str, image_id: str) -> Path:
        """Return the path of a record's file."""
        place = place_of(image_id)
        return self.folder / RECORDS / kind / place.with_name(f"{place.name}.json")

    # ---- records --------------------------------------------------------------------------------

    def record(self, kind: str, image_id: str) -> Record | None:
        """Return the record of a result, or None if there is none."""
        record = Record.load(self.record_place(kind, image_id))
        return record if record is not None and record.image == image_id else None

    def records(self, kind: str) -> Iterator[Record]:
        """Yield the records of a kind for all images, sorted by path."""
        for place in sorted((self.folder / RECORDS / kind).rglob("*.json")):
            record = Record.load(place)
            if record is not None:
                yield record

    def keep(self, record: Record) -> None:
        """Write a record.

        Raises:
            OutputError: It cannot be written.
        """
        record.save(self.record_place(record.kind, record.image))

    def forget(self, kind: str, image_id: str) -> None:
        """Remove a record."""
        self.record_place(kind, image_id).unlink(missing_ok=True)

    # ---- files ----------------------------------------------------------------------------------

    def find(self, kind: str, image_id: str) -> Found:
        """Return a result as it is now."""
        return find_result(self.record(kind, image_id), self.place(kind, image_id))

    def write(self, record: Record, found: Found, write: Callable[[Path], Any]) -> Record:
        """Write the file of a result, then its record.

        Args:
            record: Record of the new file.
            found: The result as it is now.
            write: Writes the file to the temporary path that it is given.

        Raises:
            OutputError: The file or its record cannot be written.
        """
        place = self.place(record.kind, record.image)
        record_place = self.record_place(record.kind, record.image)
        return write_result(place, record_place, record, found, write)

    def remove(self, kind: str, image_id: str) -> bool:
        """Remove a result and its record unless a person changed it; return whether a file went."""
        found = self.find(kind, image_id) if kind != SUMMARY else Found(None, None, State.MISSING)
        if found.is_somebodys:
            return False
        if found.state is State.OURS:
            remove_result(self.place(kind, image_id))
        if kind == CANDIDATES:
            shutil.rmtree(self.blocks(image_id), ignore_errors=True)
        self.forget(kind, image_id)
        return found.state is State.OURS

    def find_table(self, name: str) -> Found:
        """Return a table of the whole run as it is now."""
        return find_result(Record.load(self._table_record(name)), self.folder / name)

    def write_table(self, record: Record, found: Found, write: Callable[[Path], Any]) -> Record:
        """Write a table of the whole run, named by `record.kind`; see `write`."""
        name = record.kind
        return write_result(self.folder / name, self._table_record(name), record, found, write)

    def remove_table(self, name: str) -> None:
        """Remove a table of the whole run and its record."""
        remove_result(self.folder / name)
        self._table_record(name).unlink(missing_ok=True)

    def _table_record(self, name: str) -> Path:
        return self.folder / RECORDS / TABLES / f"{name}.json"

    def stamp(self, path: Path, known: Stamp | None = None) -> Stamp:
        """Return the stamp of an image's files, which are read once per run.

        Args:
            path: The image file.
            known: An earlier stamp of it.

        Raises:
            OSError: The file cannot be read.
        """
        before = self._stamps.get(path)
        if before is not None and path.is_dir():
            return before.stamp
        status = (each.stat() for each in files_of(path))
        identity = tuple((each.st_ino, each.st_ctime_ns) for each in status)
        # A file that was replaced by one of the same size and time is read again.
        if before is not None:
            known = before.stamp if before.identity == identity else None
        found = Stamp.of(path, known)
        self._stamps[path] = _SeenFile(found, identity)
        return found

    def stamp_now(self, path: Path, known: Stamp, *, fully: bool = True) -> Stamp:
        """Return the stamp of an image's file as it is at this moment.

        Args:
            path: The image file.
            known: An earlier stamp of it.
            fully: If False, a folder of many files is walked again only so often that it takes a
                small part of the time; in between, its last stamp is returned.

        Raises:
            OSError: The file cannot be read.
        """
        if not path.is_dir():
            return self.stamp(path, known)
        before = self._walks.get(path)
        if before is not None and not fully and monotonic() < before.next_at:
            return before.stamp
        began = monotonic()
        found = Stamp.of(path)
        self._walks[path] = _Walk(found, monotonic() + WALK_SHARE * (monotonic() - began))
        return found

    # ---- the run --------------------------------------------------------------------------------

    def settings(self) -> RunSettings | None:
        """Return the settings of the latest run, or None if there was none."""
        place = self.folder / RUN_FILE
        if not place.is_file():  # opening a pipe would block
            return None
        try:
            values = json.loads(place.read_bytes())
            values["formats"] = tuple(map(str, values.get("formats", ())))
            return RunSettings(**values)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return None

    def begin(self, settings: RunSettings, *, clear: bool = True) -> RunSettings:
        """Write the settings of a run, with the formats of earlier ones still in the folder.

        Args:
            settings: The settings of the run.
            clear: Remove what killed processes left half written, which walks over every file.

        Raises:
            OutputError: The folder cannot be written, or its `run.json` is something else.
        """
        make_folder(self.folder)
        if clear:
            self.clear()
        with self.locked("run.json"):
            earlier = self._earlier()
            known = () if earlier is None else filter(self._has, earlier.formats)
            asked = {*settings.formats, *known}
            formats = tuple(name for name in {**IMAGE_FORMATS, **RUN_FORMATS} if name in asked)
            settings = replace(settings, formats=formats)
            if settings != earlier:
                write_json(self.folder / RUN_FILE, vars(settings))
        return settings

    def _earlier(self) -> RunSettings | None:
        """Return the settings of the latest run; refuse a `run.json` of another program."""
        earlier = self.settings()
        if earlier is None and os.path.lexists(self.folder / RUN_FILE):
            raise OutputError(
                f"{self.folder / RUN_FILE} exists, but it was not written by `bigkingxxl "
                "predict`: choose another folder for the results",
                file=self.folder / RUN_FILE,
                key="--out",
            )
        return earlier

    def _has(self, name: str) -> bool:
        """Whether results of a format are in the folder."""
        if name in IMAGE_FORMATS and (self.folder / IMAGE_FORMATS[name].folder).is_dir():
            return True
        files = RUN_FORMATS[name].files if name in RUN_FORMATS else ()
        return any((self.folder / file).is_file() for file in files)

    def clear(self) -> int:
        """Remove the temporary files of runs that were killed, and count them."""
        ours = {each.folder.split("/")[0] for each in IMAGE_FORMATS.values()}
        folders = (RECORDS, BLOCKS, *STORED.values(), *sorted(ours))
        cleared = sum(clear_temporaries(self.folder / each, recursive=True) for each in folders)
        return cleared + clear_temporaries(self.folder)

    # ---- other processes ------------------------------------------------------------------------

    def locked(self, name: str, *, wait: bool = True) -> Any:
        """Return a lock of the folder; see `locks.locked`."""
        return locked(self._lock(name), wait=wait)

    @contextmanager
    def at_work(self, settings: RunSettings, *, clear: bool = True) -> Iterator[RunSettings]:
        """Begin a run (see `begin`), and mark the folder as in use for the length of a block.

        A refused run leaves no trace in the folder, where the other one goes on.

        Raises:
            InputError: A run of another model or other settings is working in the folder.
            OutputError: See `begin`.
        """
        make_folder(self.folder)
        self._earlier()
        with locked(self._lock(f"run {settings.run}", f"run-{settings.run}"), shared=True):
            self._check_alone(settings.run)
            yield self.begin(settings, clear=clear)

    def _check_alone(self, run: str) -> None:
        for path in sorted((self.folder / LOCKS).glob("run-*")):
            if path.name == f"run-{run}":
                continue
            with locked(path, wait=False) as is_free:
                if not is_free:
                    raise InputError(
                        f"a run with another model or other settings is running in {self.folder}: "
                        "wait for it, or choose another folder with --out",
                        file=self.folder,
                        key="--out",
                    )

    def _lock(self, name: str, file: str | None = None) -> Path:
        return self.folder / LOCKS / (file or sha256(os.fsencode(name)).hexdigest()[:24])


def format_key(identity: str, kind: str) -> str:
    """Return the key of a result from the identity of its cells or candidates and its kind."""
    return fingerprint([identity, kind])
