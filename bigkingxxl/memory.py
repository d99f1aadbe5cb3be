"""The memory of this machine: how much is free, and what the allocator keeps although it is."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path


def return_free_memory() -> None:
    """Return free memory; only glibc on Linux needs and offers this.

    Blocks of large images are processed by several threads, each with a heap of its own, in which
    small arrays that are still used keep large free areas from being returned.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)


# Limit, use, and in the statistics the part that only keeps files for later; of both versions.
CONTROL_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
     "total_inactive_file"),
)  # fmt: skip


def free_bytes(root: Path = Path("/")) -> int:
    """Return the memory that processes may still use, or a very large number if unknown.

    Args:
        root: The root of the file system.
    """
    found = []
    with suppress(OSError, ValueError, LookupError):
        found.append(_numbers(root / "proc/meminfo")["MemAvailable:"] * 1024)
    for limit, used, statistics, cached in CONTROL_GROUPS:
        group = root / "sys/fs/cgroup"
        with suppress(OSError, ValueError):  # "max" is no number
            free = int((group / limit).read_text()) - int((group / used).read_text())
            with suppress(OSError, LookupError):
                free += _numbers(group / statistics)[cached]
            found.append(free)
    return max(0, min(found, default=2**50))


def _numbers(path: Path) -> dict[str, int]:
    """Read a file with a name and a number in each line."""
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {words[0]: int(words[1]) for words in lines}
