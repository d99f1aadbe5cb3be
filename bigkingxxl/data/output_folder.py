"""The output folder of data commands: the data folder itself, unless it is read-only."""

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
    """Create a folder if needed and check that files can be created in it.

    Args:
        path: The folder.
        otherwise: The alternative that the error message suggests ('choose another with --out').

    Raises:
        OutputError: It cannot be created or written.
    """
    trial = path / f".trial.{os.getpid()}"
    # An administrator may write anywhere, but folders marked as read-only are respected.
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
    """Check the free disk space before starting.

    Args:
        folder: The folder.
        needed: The required number of bytes.
        what: What needs them, for the message.

    Raises:
        OutputError: Less is available.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder} has {free / 1e9:.2f} GB free, {what} needs {needed / 1e9:.2f} GB",
            file=folder,
            found=free,
            expected=needed,
        )
