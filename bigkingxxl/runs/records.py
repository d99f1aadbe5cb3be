"""What is known of one result of one image: a small JSON file of its own.

No record is shared, so that any number of processes write theirs at once; each appears whole or
not at all. A record is written BEFORE its file is moved into place and names the bytes of both the
new file and the one it replaces: wherever a run is killed, the files it wrote are told from those
that a person changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigkingxxl.files import file_hash, write_text


@dataclass(frozen=True)
class Stamp:
    """A file as it was at some time.

    Attributes:
        size: bytes; modified: nanoseconds since 1970; sha256: of what it holds.
    """

    size: int
    modified: int
    sha256: str

    @classmethod
    def of(cls, path: Path, known: Stamp | None = None) -> Stamp:
        """Of a file as it is now; of a folder, its files' names, lengths and times.

        Args:
            known: an earlier stamp, whose hash is taken where length and time are the same.

        Raises:
            OSError: it is not there or cannot be read.
        """
        if path.is_dir():
            return _folder_stamp(path)
        found = path.stat()
        if known is not None and (found.st_size, found.st_mtime_ns) == (known.size, known.modified):
            return known
        return cls(found.st_size, found.st_mtime_ns, file_hash(path))

    @classmethod
    def of_result(cls, path: Path, known: Stamp | None = None) -> Stamp:
        """Of a file or folder that a run wrote, by what it holds: a copy has the same hash.

        Raises:
            OSError: it is not there or cannot be read.
        """
        if not path.is_dir():
            return cls.of(path, known)
        files = sorted(each for each in path.rglob("*") if each.is_file())
        size = sum(each.stat().st_size for each in files)
        modified = max((each.stat().st_mtime_ns for each in files), default=0)
        if known is not None and (size, modified) == (known.size, known.modified):
            return known
        digest = hashlib.sha256()
        for each in files:
            name = each.relative_to(path).as_posix().encode("utf-8", "surrogateescape")
            digest.update(name + b"\0" + file_hash(each).encode() + b"\n")
        return cls(size, modified, digest.hexdigest())


def _folder_stamp(folder: Path) -> Stamp:
    digest, size, modified = hashlib.sha256(), 0, 0
    # Labels inside an OME-Zarr are results, maybe our own; the image is the same without them.
    labels = folder / "labels"
    files = (each for each in folder.rglob("*") if each.is_file())
    for path in sorted(each for each in files if labels not in each.parents):
        found = path.stat()
        line = f"{path.relative_to(folder).as_posix()}\0{found.st_size}\0{found.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
        size, modified = size + found.st_size, max(modified, found.st_mtime_ns)
    return Stamp(size, modified, digest.hexdigest())


@dataclass(frozen=True)
class Record:
    """One result of one image, or why there is none.

    Attributes:
        image: the image's id; kind: the format, or 'candidates', 'cells' or 'failure'.
        path: the image's file; frame: which plane of it, counted from 0, or None.
        seen: the image's file when the result was made; None where it could not be read.
        key: fingerprint of the model and all settings that decide this result.
        model: hash of the model; version: of this software.
        output: the file that was written; replaced: hashes of the files before it.
        warnings: sentences on the image; failure: why there is no result, or "".
        details: what tables need of it.
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
        """Whether a file is one that was written here, this time or before, and not changed."""
        return found.sha256 in self.replaced or self.is_current(found)

    def is_current(self, found: Stamp) -> bool:
        """Whether a file is the one that this record tells of."""
        return self.output is not None and found.sha256 == self.output.sha256

    def save(self, path: Path) -> None:
        """Write the record whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        values = {name: value for name, value in vars(self).items() if value not in (None, "", ())}
        for name in ("seen", "output"):
            if name in values:
                values[name] = vars(values[name])
        write_text(path, json.dumps(values, separators=(",", ":"), default=str) + "\n")

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """What `save` wrote; None where it is gone or is no record."""
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
        """Whether all is there that tables ask of a record of this kind."""
        if self.kind != "summary":
            return isinstance(self.details, dict)
        row = self.details["row"]
        return {"identity", "run"} <= self.details.keys() and {"cells", "by_type"} <= row.keys()

    @property
    def file(self) -> Path:
        """The image's file."""
        return Path(self.path)

    def is_gone(self) -> bool:
        """Whether the image's file is no longer where it was."""
        return not os.path.lexists(self.path)
