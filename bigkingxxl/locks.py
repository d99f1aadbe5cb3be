"""File locks, which the operating system releases when a process ends in any way.

On a file system without locks, work continues unlocked: two processes may then process the same
image twice, with identical results.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bigkingxxl.errors import OutputError


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
        if not shared or _lock(descriptor, wait=False, shared=False):
            # Nobody else holds the lock. A process that has just opened the file will notice that
            # it was replaced.
            with suppress(OSError):
                path.unlink()
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
        # Windows has no shared locks; the block runs without one.
        return shared or _lock_on_windows(descriptor, wait)
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this file system has no locks
        return True
    return True


def _lock_on_windows(descriptor: int, wait: bool) -> bool:
    import importlib

    msvcrt = importlib.import_module("msvcrt")
    while True:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            if not wait:
                return False
        else:
            return True
