"""Processes: workers that end with their parent, whether one exists, and the cores of this one."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any

from bigkingxxl.errors import Interrupted

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
# From Windows' winnt.h, winerror.h and minwinbase.h.
PROCESS_QUERY_LIMITED_INFORMATION, ERROR_ACCESS_DENIED, STILL_ACTIVE = 0x1000, 5, 259


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


# A terminal or a cluster sends these to every process, but the parent decides when workers end.
ENDS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1")
             if hasattr(signal, name))  # fmt: skip


@contextmanager
def ends_blocked() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM within the block, also from the processes started in it.

    Such a process would otherwise end with a traceback if it met them before `ignore_ends`.
    """
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # which would release the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_ends() -> None:
    """Ignore Ctrl-C and SIGTERM in this worker process."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)


def raise_on_sigterm() -> None:
    """Make SIGTERM raise an exception, as Ctrl-C does, so that the process cleans up."""
    owner = os.getpid()

    def end(signum: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker, for which its parent cleans up
            os._exit(128 + signum)
        raise Interrupted(signum)

    signal.signal(signal.SIGTERM, end)


def cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of cores that this process may use.

    Args:
        groups: The folder of the control groups, in which a container may have a quota.
    """
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    else:
        there = os.cpu_count() or 1
    return min(there, math.ceil(_quota(groups)))


def _quota(groups: Path) -> float:
    """Return the processor seconds per second that a control group of either version allows."""
    with suppress(OSError, ValueError):  # "max" is no number
        quota, period = (groups / "cpu.max").read_text().split()
        return max(int(quota) / int(period), 0.1)
    with suppress(OSError, ValueError):
        quota, period = ((groups / "cpu" / f"cpu.cfs_{name}_us").read_text()
                         for name in ("quota", "period"))  # fmt: skip
        if int(quota) > 0:  # -1 is none
            return int(quota) / int(period)
    return sys.maxsize


def threads_allowed() -> int:
    """Return the number of threads that compute at once: OMP_NUM_THREADS, or one per core."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else cores()


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
    windows: Any = ctypes  # of which a part exists only there
    kernel = windows.WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = ctypes.c_void_p
    number = kernel.OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, False, pid)
    if not number:  # a process of another user exists, too
        return bool(windows.get_last_error() == ERROR_ACCESS_DENIED)
    handle, code = ctypes.c_void_p(number), ctypes.c_uint32()
    # A process that has ended is still there for those who hold a handle to it.
    found = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return not found or code.value == STILL_ACTIVE


def end_this_process() -> None:
    """Make this process end as on SIGTERM; may be called in any thread."""
    if sys.platform == "win32":  # where `os.kill` ends it without a word
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
