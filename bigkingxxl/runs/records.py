"""Records: a small JSON file for each result of each image.

Records are not shared, so that any number of processes write theirs at the same time; each is
written atomically. A record is written BEFORE its file is moved into place, and contains the hashes
of the new file and of those that it replaces. Wherever a run is killed, the files that it wrote can
therefore be distinguished from files that a person changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bigkingxxl.files import file_hash, write_text
from bigkingxxl.io.images.tiff_files import files_of


@dataclass(frozen=True)
class Stamp:
    """A file at some time.

    Attributes:
        size: The size in bytes.
        modified: The modification time in nanoseconds since 1970; of an image in several files the
            sum of theirs, which changes with each of them.
        sha256: The hash of its content.
    """

    size: int
    modified: int
    sha256: str

    @classmethod
    def of(cls, path: Path, known: Stamp | None = None) -> Stamp:
        """Create the stamp of an image; of a folder, from its files' names, sizes and times.

        Args:
            path: The file or folder; all files of an OME-TIFF series count.
            known: An earlier stamp, whose hash is reused if size and time are unchanged.

        Raises:
            OSError: It does not exist or cannot be read.
        """
        if path.is_dir():
            return _folder_stamp(path)
        files = files_of(path)
        state = FileState.of_all(files)
        if known is not None and state == (known.size, known.modified):
            return known
        return cls(*state, file_hash(path) if len(files) == 1 else _hash_of_all(files))

    @classmethod
    def of_result(cls, path: Path, known: Stamp | None = None) -> Stamp:
        """Create the stamp of a result by its content: copies have the same hash.

        Raises:
            OSError: It does not exist or cannot be read.
        """
        if not path.is_dir():
            state = FileState.of_all([path])
            is_known = known is not None and state == (known.size, known.modified)
            return known if known is not None and is_known else cls(*state, file_hash(path))
        files = sorted(each for each in path.rglob("*") if each.is_file())
        size = sum(each.stat().st_size for each in files)
        modified = max((each.stat().st_mtime_ns for each in files), default=0)
        if known is not None and (size, modified) == (known.size, known.modified):
            return known
        return cls(size, modified, _hash_of_all(files, path))


def _hash_of_all(files: Sequence[Path], folder: Path | None = None) -> str:
    """Return the hash of several files, with their names in a folder (default: that of each)."""
    digest = hashlib.sha256()
    for each in files:
        name = each.relative_to(folder or each.parent).as_posix()
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        digest.update(file_hash(each).encode() + b"\n")
    return digest.hexdigest()


def _folder_stamp(folder: Path) -> Stamp:
    digest, size, modified = hashlib.sha256(), 0, 0
    # Labels inside an OME-Zarr are results, possibly our own; they are not part of the image.
    labels = folder / "labels"
    files = (each for each in folder.rglob("*") if each.is_file())
    for path in sorted(each for each in files if labels not in each.parents):
        found = path.stat()
        line = f"{path.relative_to(folder).as_posix()}\0{found.st_size}\0{found.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
        size, modified = size + found.st_size, max(modified, found.st_mtime_ns)
    return Stamp(size, modified, digest.hexdigest())


class FileState(NamedTuple):
    """The size and modification time of an image's file when it was opened.

    Those of an image in several files are the sums of theirs. Those of a folder are of its
    metadata, which are read when it is opened; its chunks are covered by `Stamp`.

    Attributes:
        size: The size in bytes.
        modified: The modification time in nanoseconds since 1970.
    """

    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> FileState | None:
        """Return the state of a file or folder as it is now; None if it cannot be accessed."""
        try:
            return cls.of_all(_metadata(path) if path.is_dir() else files_of(path))
        except OSError:
            return None

    @classmethod
    def of_all(cls, files: Sequence[Path]) -> FileState:
        """Return the state of some files.

        Raises:
            OSError: One of them cannot be accessed.
        """
        found = [each.stat() for each in files]
        return cls(sum(each.st_size for each in found), sum(each.st_mtime_ns for each in found))


def _metadata(folder: Path) -> list[Path]:
    """Return the metadata of an OME-Zarr and of its arrays."""
    names = (".zattrs", ".zgroup", ".zarray", "zarr.json")
    places = (place for name in names for place in (folder / name, *folder.glob(f"*/{name}")))
    # Labels may be put inside while the image is read.
    return [each for each in places if each.parent.name != "labels" and each.is_file()]


@dataclass(frozen=True)
class Record:
    """A result of an image, or why there is none.

    Attributes:
        image: The id of the image.
        kind: The format, or 'candidates', 'cells' or 'failure'.
        path: The file of the image.
        frame: The plane of the file, counted from 0, or None.
        seen: The stamp of the image file when the result was made; None if it could not be read.
        key: The fingerprint of the model and all settings that determine the result.
        model: The hash of the model.
        version: The version of this package.
        output: The stamp of the file that was written.
        replaced: The hashes of the files before it.
        warnings: Sentences on the image.
        failure: Why there is no result, or "".
        details: What tables need to know of it.
    """

    image: str
    kind: str
    path: str
    frame: int | None
    seen: Stamp | None
    key: str
    model: str = ""
    version: str = ""
    output: Stamp | None = None
    replaced: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    failure: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def wrote(self, found: Stamp) -> bool:
        """Return whether a run wrote this file, now or earlier, and it is unchanged."""
        return found.sha256 in self.replaced or self.is_current(found)

    def is_current(self, found: Stamp) -> bool:
        """Return whether the file is the one that this record describes."""
        return self.output is not None and found.sha256 == self.output.sha256

    def save(self, path: Path) -> None:
        """Write the record atomically.

        Raises:
            OutputError: It cannot be written.
        """
        values = {name: value for name, value in vars(self).items() if value not in (None, "", ())}
        for name in ("seen", "output"):
            if name in values:
                values[name] = vars(values[name])
        write_text(path, json.dumps(values, separators=(",", ":"), default=str) + "\n")

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """Read a record; None if it is missing or damaged."""
        try:
            with path.open("rb") as stream:
                values = json.load(stream)
            for name in ("seen", "output"):
                if values.get(name) is not None:
                    values[name] = Stamp(**values[name])
            for name in ("replaced", "warnings"):
                values[name] = tuple(values.get(name, ()))
            for name, value in (("image", ""), ("path", ""), ("frame", None), ("seen", None)):
                values.setdefault(name, value)
            record = cls(**values)
            return record if record._is_whole() else None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def _is_whole(self) -> bool:
        """Return whether the record contains everything that tables need."""
        if self.kind != "summary":
            return isinstance(self.details, dict)
        row = self.details["row"]
        return {"identity", "run"} <= self.details.keys() and {"cells", "by_type"} <= row.keys()

    @property
    def file(self) -> Path:
        """The file of the image."""
        return Path(self.path)

    def is_gone(self) -> bool:
        """Whether the file of the image no longer exists."""
        return not os.path.lexists(self.path)
