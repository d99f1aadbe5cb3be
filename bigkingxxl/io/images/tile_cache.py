"""What was decoded last of a file: strips, tiles or whole planes."""

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
    """Parts of a file decoded last, so that neighbouring windows do not decode them again.

    The latest one is always kept, however large: a compressed image in one strip is decoded once.
    Frames of one file share it, in whatever thread each is read.
    """

    limit: int = CACHED_BYTES
    _kept: OrderedDict[Hashable, NDArray[Any]] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: Hashable, decode: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What `decode` gives, kept under the key."""
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
    """A plane that its format decodes in one piece, when it is first read.

    Args:
        shape: (C, H, W); key: of the plane in its file; load: gives all of its pixels.
    """

    shape: tuple[int, int, int]
    key: Hashable
    load: Callable[[], NDArray[Any]]
    cache: DecodedTileCache

    def read(self, window: Window) -> NDArray[Any]:
        """[C, h, w] of a window; raises what `load` does."""
        return self.cache.get(self.key, self.load)[(slice(None), *window.slices)]
