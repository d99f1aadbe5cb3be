"""Return memory to the operating system that the allocator keeps although it is free."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress


def return_free_memory() -> None:
    """Return free memory; only glibc on Linux needs and offers this.

    Blocks of large images are processed by several threads, each with a heap of its own, in which
    small arrays that are still used keep large free areas from being returned.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)
