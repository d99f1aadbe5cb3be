"""Processes that end well: workers that die with their parent, and whether a process lives."""

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
    """Let this worker process end with the one that started it, however that ends.

    A thread waits for it, which works for any way of starting; on Linux the system kills a direct
    child at once, even one that is stuck.
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
        if os.getppid() != parent.pid:  # it ended before it was asked for
            os._exit(1)


def _end_after(sentinel: int) -> None:
    wait([sentinel])
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
