"""Where a data command writes: its own data folder, unless that is read-only."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from bigkingxxl.errors import OutputError
from bigkingxxl.files import make_folder

ANY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def writable_folder(path: Path, otherwise: str) -> Path:
    """The folder, made if need be, after a trial whether files can be made in it.

    Args:
        otherwise: what the user can do instead, for the message ('choose another with --out').

    Raises:
        OutputError: it cannot be made or written.
    """
    trial = path / f".trial.{os.getpid()}"
    # An administrator may write anywhere: what is marked as read-only is left alone all the same.
    if path.is_dir() and not path.stat().st_mode & ANY_WRITE:
        raise OutputError(f"{path} cannot be written (it is read-only); {otherwise}", file=path)
    try:
        make_folder(path)
        trial.touch()
        trial.unlink()
    except OutputError as error:
        raise OutputError(f"{error}; {otherwise}", file=path) from error
    except OSError as error:
        reason = "it is read-only" if error.errno in DENIED else error.strerror
        raise OutputError(f"{path} cannot be written ({reason}); {otherwise}", file=path) from error
    return path


def check_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        needed: bytes, at least.

    Raises:
        OutputError: less is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder} has {free / 1e9:.2f} GB free, {what} needs {needed / 1e9:.2f} GB",
            file=folder,
            found=free,
            expected=needed,
        )
