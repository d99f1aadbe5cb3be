"""A cache of the most recently decoded strips, tiles or planes of a file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from bigkingxxl.geometry import Window

CACHED_BYTES = 1 << 28


@dataclass
class DecodedTileCache:
    """A cache of decoded parts, so that neighbouring windows do not decode them again.

    The latest part is always kept, whatever its size, so that a compressed image in one strip is
    decoded once. Frames of one file share the cache in any thread.
    """

    limit: int = CACHED_BYTES
    _kept: OrderedDict[Hashable, NDArray[Any]] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: Hashable, decode: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the cached value of a key, or the result of `decode`."""
        with self._lock:
            pixels = self._kept.pop(key, None)
            if pixels is None:
                pixels = decode()
                self._bytes += pixels.nbytes
            self._kept[key] = pixels
            while self._bytes > self.limit and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= dropped.nbytes
        return pixels


@dataclass(frozen=True)
class WholePlane:
    """A plane that its format decodes as a whole, on first access.

    Args:
        shape: (C, H, W).
        key: The key of the plane in its file.
        load: Returns all of its pixels.
    """

    shape: tuple[int, int, int]
    key: Hashable
    load: Callable[[], NDArray[Any]]
    cache: DecodedTileCache

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w]; exceptions of `load` are passed on."""
        return self.cache.get(self.key, self.load)[(slice(None), *window.slices)]
