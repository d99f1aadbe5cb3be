"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from bigkingxxl.errors import OutputError
from bigkingxxl.processes import is_alive

LONGEST_ENDING = 16
SECONDS_OF_OTHERS = 24 * 3600.0
TEMPORARY_NAME = re.compile(r"\.(?P<place>[0-9a-f]{6})-(?P<pid>\d+)-\d+\.part(\..*)?")
_numbers = itertools.count()

CANNOT_WRITE = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR,
    errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG,
))  # fmt: skip


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; moved into place when the block succeeds, else removed.

    A folder may be written there as well, and takes the place of another.

    Raises:
        OutputError: the disk is full, the folder cannot be written, or what is there is no file
            that may be replaced (a device, a pipe, a link to a folder).
    """
    if path.name in ("", ".."):
        raise OutputError(f"{path} is a folder: give the name of a file")
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_replaceable(path)
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)  # a folder takes no other's place
        temporary.replace(path)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise OutputError(f"{path} cannot be written: {os.strerror(error.errno)}") from error
    finally:
        _remove(temporary)


def temporary_beside(path: Path) -> Path:
    """A name in the folder of `path` that tells which process of which machine wrote it.

    It is short, so that it fits where `path` has the longest name that a file may have. The ending
    is kept: many writers choose the format by it.
    """
    ending = path.suffix if len(path.suffix) <= LONGEST_ENDING else ""
    return path.with_name(f".{_place_mark()}-{os.getpid()}-{next(_numbers)}.part{ending}")


def clear_temporaries(folder: Path, *, recursive: bool = False) -> int:
    """Remove what dead processes left half written in a folder; how many files that were.

    A process of this machine that lives, and another machine's within a day, keep theirs.
    """
    pattern = "**/.*.part*" if recursive else ".*.part*"
    cleared = 0
    for path in folder.glob(pattern) if folder.is_dir() else ():
        match = TEMPORARY_NAME.fullmatch(path.name)
        if match is None:
            continue
        is_ours = match["place"] == _place_mark()
        with suppress(OSError):
            is_old = time.time() - path.lstat().st_mtime > SECONDS_OF_OTHERS
            if not is_alive(int(match["pid"])) if is_ours else is_old:
                _remove(path)
                cleared += 1
    return cleared


@cache
def _place_mark() -> str:
    """A few letters for where process numbers hold: this machine, and this container of it."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:6]


def check_replaceable(path: Path) -> None:
    """Refuse to put a file in the place of something that is none.

    Raises:
        OutputError: a device, a pipe, a socket or a link to a folder is there.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
             stat.S_IFBLK: "a device"}  # fmt: skip
    kind = kinds.get(stat.S_IFMT(mode))
    if stat.S_ISDIR(mode) and path.is_symlink():
        kind = "a link to a folder"
    if kind is not None:
        raise OutputError(f"{path} is {kind}, which no result replaces: give the name of a file")


def _remove(path: Path) -> None:
    # Where even this fails there is nothing to remove, and the error before it counts.
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
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


def append_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Append to a file that is there, all of it or nothing.

    Args:
        durable: it is on the disk when this returns, and stays there if the power fails. The file
            must be there.

    Raises:
        OutputError: the disk is full or the file cannot be written.
    """
    try:
        with path.open("r+b" if durable else "ab", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END)
            try:
                if stream.write(content) != len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if durable:
                    os.fsync(stream.fileno())
            except BaseException:
                stream.truncate(end)
                raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; it is on the disk when this returns.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
