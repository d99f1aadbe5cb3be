"""Processes that end well: workers that die with their parent, and whether a process lives."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType

from bigkingxxl.errors import Interrupted

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h


def die_with_parent() -> None:
    """Have the system kill this worker process when its parent ends, however that ends.

    Linux alone can do so; elsewhere a worker notices by itself that nobody asks it any more.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before it was asked for
        os._exit(1)


def raise_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does: with an exception, so that it tidies up."""
    owner = os.getpid()

    def end(signum: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker: its parent tidies up
            os._exit(128 + signum)
        raise Interrupted(signum)

    signal.signal(signal.SIGTERM, end)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has this number."""
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
