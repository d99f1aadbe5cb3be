"""The maps of tiles across the seams between blocks, kept for the neighbouring blocks."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
MOST_BYTES = 192 * 2**20


@dataclass
class _Entry:
    """Maps that are computed, or being computed.

    Attributes:
        left: The number of blocks that have not asked for them yet.
        maps: float32[K, h, w].
    """

    left: int
    maps: Future[Float32] = field(default_factory=Future)


class SeamMaps:
    """Keeps the maps of a tile until all blocks that the tile belongs to have used them.

    The results do not depend on it. Any number of threads may ask at once: one of them computes the
    maps of a tile and the others wait for it.

    Args:
        most_bytes: The most that is held. The tiles that were asked for first are dropped first.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._entries: dict[Hashable, _Entry] = {}  # in the order in which they were asked for
        self._lock = Lock()

    def get(self, key: Hashable, blocks: int, make: Callable[[], Float32]) -> Float32:
        """Return float32[K, h, w], the maps of a tile; callers must not change them.

        Args:
            key: Identifies the image, the way it is predicted, and the tile.
            blocks: The number of blocks that the tile belongs to.
            make: Computes the maps.
        """
        with self._lock:
            entry = self._entries.get(key)
            is_new = entry is None
            if entry is None:
                entry = self._entries[key] = _Entry(blocks)
            entry.left -= 1
            if entry.left <= 0:
                del self._entries[key]
        if not is_new:
            return entry.maps.result()
        try:
            maps = make()
        except BaseException as error:
            with self._lock:
                if self._entries.get(key) is entry:
                    del self._entries[key]
            entry.maps.set_exception(error)
            raise
        entry.maps.set_result(maps)
        self._make_room()
        return maps

    def _make_room(self) -> None:
        """Drop the oldest maps while they take too much memory."""
        with self._lock:
            made = {key: each.maps.result().nbytes for key, each in self._entries.items()
                    if each.maps.done() and each.maps.exception() is None}  # fmt: skip
            total = sum(made.values())
            for key, size in made.items():
                if total <= self.most_bytes:
                    return
                del self._entries[key]
                total -= size
