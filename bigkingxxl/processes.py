"""Processes: whether one lives."""

from __future__ import annotations

import ctypes
import os
import sys


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
