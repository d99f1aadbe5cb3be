"""Memory settings of the process for training on a CPU."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Constants from glibc's malloc.h, and its default behaviour.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEPT = 2**28


BY_ITSELF = ((M_MMAP_MAX, 65536), (M_TRIM_THRESHOLD, 2**17), (M_TOP_PAD, 2**17))


@contextmanager
def keep_freed_memory() -> Iterator[bool]:
    """Within the block, make glibc keep freed memory for the next step; yields whether it does.

    Otherwise each step returns its large tensors to the system and allocates them again page by
    page, which costs 51,000 page faults and a tenth of the time of a step of the compact network.
    """
    mallopt = None
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # None: another C library
    if mallopt is None:
        yield False
        return
    wanted = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, KEPT))
    try:
        yield all(mallopt(option, value) == 1 for option, value in wanted)
    finally:
        for option, value in BY_ITSELF:
            mallopt(option, value)
