"""Locks on files: the system lets go of them when a process ends, however it ends.

Where a file system knows no locks, work is done without: two processes then do the same image
twice, to the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bigkingxxl.errors import OutputError


@contextmanager
def locked(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[bool]:
    """Hold a lock for the length of a block; False where another holds it and nobody waits.

    Args:
        path: a file of this lock's own; it is removed when nobody needs it.
        shared: several may hold it so at once, none beside one that holds it alone.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquired(path, wait, shared)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        if not shared or _lock(descriptor, wait=False, shared=False):
            # Nobody else holds it: who opened the file already finds that it is another one.
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
        os.close(descriptor)  # the one who held it has removed the file


def _lock(descriptor: int, *, wait: bool, shared: bool) -> bool:
    try:
        import fcntl
    except ImportError:
        # There are none there that several may hold: they do without.
        return shared or _lock_on_windows(descriptor, wait)
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this file system knows no locks
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
