"""Atomic writes: files and folders that appear completely or not at all."""

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
    """Yield a temporary path beside `path`, and move it to `path` if the block succeeds.

    If the block fails, the temporary file is removed. A folder may be written as well; it replaces
    an existing folder.

    Raises:
        OutputError: The disk is full, the folder cannot be written, or `path` is something that
            must not be replaced (a device, a pipe, a link to a folder).
    """
    if path.name in ("", ".."):
        raise OutputError(f"{path} is a folder: give the name of a file", file=path)
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_replaceable(path)
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)  # a folder cannot be moved over another one
        temporary.replace(path)
    except OSError as error:
        # Some file systems, such as that of a system's processes, deny files by "not found".
        refused = error.errno == errno.ENOENT and error.filename == str(temporary)
        if error.errno is None or not (refused or error.errno in CANNOT_WRITE):
            raise
        _check_links(path.parent)
        raise OutputError(
            f"{path} cannot be written: {os.strerror(error.errno)}", file=path
        ) from error
    finally:
        _remove(temporary)


def temporary_beside(path: Path) -> Path:
    """Return a temporary name beside `path` that encodes the machine and process that write it.

    The name is short, so that it is valid even where `path` has the longest permitted name. The
    suffix is kept, because many writers choose the format by it.
    """
    ending = path.suffix if len(path.suffix) <= LONGEST_ENDING else ""
    return path.with_name(f".{_place_mark()}-{os.getpid()}-{next(_numbers)}.part{ending}")


def clear_temporaries(folder: Path, *, recursive: bool = False) -> int:
    """Remove temporary files of processes that no longer exist; return how many were removed.

    Files of running processes of this machine, and of other machines for a day, are kept.
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
    """Return letters that identify the namespace of process ids: machine and container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:6]


def check_replaceable(path: Path) -> None:
    """Refuse to replace anything but a regular file.

    Raises:
        OutputError: The path is a device, a pipe, a socket or a link to a folder.
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
        raise OutputError(
            f"{path} is {kind}, which no result replaces: give the name of a file", file=path
        )


def check_same_kind(path: Path, start: str, what: str) -> None:
    """Refuse to replace a file of another kind, such as data that was named by mistake.

    Args:
        path: The file to be written; missing and empty files are accepted.
        start: How every file of this kind begins.
        what: What the file is to hold, for the message, such as "a page".

    Raises:
        OutputError: The file begins otherwise.
    """
    try:
        if not path.is_file():
            return  # folders and devices are refused when the file is written
        with path.open("rb") as stream:
            found = stream.read(len(start.encode()))
    except OSError:
        return
    if found and found != start.encode():
        raise OutputError(
            f"{path} exists and is not {what}: name another file, or move it away",
            file=path,
            expected=what,
        )


def _remove(path: Path) -> None:
    # If the removal fails as well, the original error is the one to report.
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to a file atomically."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, with LF as the line ending."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False, default=str) + "\n")


def make_folder(path: Path) -> Path:
    """Create a folder if it does not exist, and return it.

    Raises:
        OutputError: It cannot be created, a file has its name, or it is a link to nothing.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _check_links(path)
        raise OutputError(f"{path} cannot be made a folder: {error.strerror}", file=path) from error
    return path


def _check_links(path: Path) -> None:
    """Say so if a folder could not be made because it is a link to nothing, or lies in one.

    Raises:
        OutputError: There is such a link.
    """
    for each in (path, *path.parents):
        target = None
        with suppress(OSError):  # a folder on the way may not be searched
            if each.is_symlink() and not each.exists():
                target = each.parent / each.readlink()
        if target is not None:
            raise OutputError(
                f"{each} is a link to a folder that does not exist ({target}): create that folder, "
                "or remove the link",
                file=each,
                expected=target,
            )


def append_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Append to an existing file completely or not at all.

    Args:
        path: The file.
        content: The bytes to append.
        durable: Flush to disk before returning, so that the data survive a power failure.

    Raises:
        OutputError: The disk is full or the file cannot be written.
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
        raise OutputError(f"{path} cannot be written: {error.strerror}", file=path) from error


def write_durably(path: Path, content: bytes) -> None:
    """Write a file atomically and flush it to disk before returning.

    Raises:
        OutputError: The file cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
