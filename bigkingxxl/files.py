"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bigkingxxl.errors import OutputError

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


def append_whole(path: Path, content: bytes) -> None:
    """Append to a file that is there, all of it or nothing.

    Raises:
        OutputError: the disk is full or the file cannot be written.
    """
    try:
        with path.open("ab", buffering=0) as stream:
            end = stream.tell()
            try:
                if stream.write(content) != len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except BaseException:
                stream.truncate(end)
                raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
