"""File locks, which the operating system releases when a process ends in any way.

On a file system without locks, work continues unlocked: two processes may then process the same
image twice, with identical results.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bigkingxxl.errors import OutputError

# From Windows' minwinbase.h and winerror.h.
LOCKFILE_FAIL_IMMEDIATELY, LOCKFILE_EXCLUSIVE_LOCK, ERROR_LOCK_VIOLATION = 1, 2, 33


@contextmanager
def locked(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[bool]:
    """Hold a lock for the duration of a block; yields False if `wait` is False and it is taken.

    Args:
        path: The lock's own file, which is removed when nobody needs it any longer.
        wait: Whether to wait until the lock is free.
        shared: Whether several processes may hold the lock at once; none of them shares it with an
            exclusive holder.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquired(path, wait, shared)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}", file=path) from error
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        if sys.platform != "win32" and shared and not _lock(descriptor, wait=False, shared=False):
            os.close(descriptor)  # others hold the lock
        else:
            close_and_remove(descriptor, path)


def close_and_remove(descriptor: int, path: Path) -> None:
    """Close a lock file that nobody else holds, and remove it."""
    # Windows removes no file that is open, which spares those that other processes hold. Elsewhere
    # a process that has just opened the file notices that it was replaced.
    if sys.platform == "win32":
        os.close(descriptor)
    with suppress(OSError):
        path.unlink()
    if sys.platform != "win32":
        os.close(descriptor)


def _acquired(path: Path, wait: bool, shared: bool) -> int | None:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(descriptor, wait=wait, shared=shared):
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # the previous holder has removed the file


def _lock(descriptor: int, *, wait: bool, shared: bool) -> bool:
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(descriptor, wait=wait, shared=shared)
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this file system has no locks
        return True
    return True


class _Overlapped(ctypes.Structure):
    """OVERLAPPED of Windows' minwinbase.h: the place in the file, here its first byte."""

    _fields_ = (
        ("internal", ctypes.c_size_t), ("internal_high", ctypes.c_size_t),
        ("offset", ctypes.c_uint32), ("offset_high", ctypes.c_uint32), ("event", ctypes.c_void_p),
    )  # fmt: skip


def _lock_on_windows(descriptor: int, *, wait: bool, shared: bool) -> bool:
    msvcrt = importlib.import_module("msvcrt")
    windows: Any = ctypes  # of which a part exists only there
    kernel = windows.WinDLL("kernel32", use_last_error=True)
    flags = (0 if shared else LOCKFILE_EXCLUSIVE_LOCK) | (0 if wait else LOCKFILE_FAIL_IMMEDIATELY)
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
    if kernel.LockFileEx(handle, flags, 0, 1, 0, ctypes.byref(_Overlapped())):
        return True
    # Any other error: this file system has no locks.
    return bool(windows.get_last_error() != ERROR_LOCK_VIOLATION)
