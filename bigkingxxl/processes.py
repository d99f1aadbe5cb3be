"""Worker processes that end with their parent, and a check whether a process exists."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait
from types import FrameType

from bigkingxxl.errors import Interrupted

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h


def die_with_parent() -> None:
    """Make this worker process end when its parent ends, in whatever way.

    A thread waits for the parent, which works for every start method. On Linux the kernel also
    kills a direct child at once, even if it is stuck.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()
    prctl = None
    if sys.platform.startswith("linux"):
        prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None and os.getppid() == parent.pid:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent.pid:  # the parent ended before prctl was called
            os._exit(1)


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def raise_on_sigterm() -> None:
    """Make SIGTERM raise an exception, as Ctrl-C does, so that the process cleans up."""
    owner = os.getpid()

    def end(signum: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker, for which its parent cleans up
            os._exit(128 + signum)
        raise Interrupted(signum)

    signal.signal(signal.SIGTERM, end)


def is_alive(pid: int) -> bool:
    """Return whether a process with this id exists on this machine."""
    if sys.platform == "win32":
        return _is_alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_alive_on_windows(pid: int) -> bool:
    windll = getattr(ctypes, "windll", None)
    if windll is None:
        return True
    handle = windll.kernel32.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return False
    windll.kernel32.CloseHandle(handle)
    return True
