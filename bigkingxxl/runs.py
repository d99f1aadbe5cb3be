"""Run folders: outputs that appear whole or not at all, and a manifest of what made them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from bigkingxxl.errors import OutputError

REPORTED_VERSIONS = ("bigkingxxl", "numpy", "scikit-image", "onnxruntime", "torch", "torchvision",
                     "timm", "lightning", "monai")  # fmt: skip

CANNOT_WRITE = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR,
    errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG,
))  # fmt: skip


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; moved into place when the block succeeds, else removed.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    # The ending is kept: many writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise OutputError(f"{path} cannot be written: {os.strerror(error.errno)}") from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    # Where even this fails there is nothing to remove, and the error before it counts.
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all, with plain line ends."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False, default=str) + "\n")


def make_folder(path: Path) -> Path:
    """The folder, made if need be.

    Raises:
        OutputError: it cannot be made, or a file is in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be made a folder: {error.strerror}") from error
    return path


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in REPORTED_VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def provenance(seed: int | None = None) -> dict[str, Any]:
    """Date, command, machine, versions and seed: what stands in every result file."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "device": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": versions(),
        "seed": seed,
    }


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """A short hash that changes when any part does."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:16]


class Manifest:
    """What a run over many items has done, kept on disk after each item, so that it can resume.

    Args:
        path: the manifest's JSON file.
        key: fingerprint of everything that decides the results; another key starts afresh.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.done: dict[str, Any] = {}
        if path.is_file():
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
                self.done = dict(stored["done"]) if stored["key"] == key else {}
            except (ValueError, KeyError, TypeError):
                self.done = {}

    def record(self, item: str, result: Any) -> None:
        """Keep one item's result and write the manifest."""
        self.done[item] = result
        write_json(self.path, {"key": self.key, "done": self.done})

    def complete(self, item: str, is_there: Callable[[Any], bool] = lambda _: True) -> bool:
        """True where the item was done under this key and its outputs are still there."""
        return item in self.done and is_there(self.done[item])
