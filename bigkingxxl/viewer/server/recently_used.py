"""A cache of a limited number of values, those that were used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class RecentlyUsed(Generic[K, V]):
    """The values that were used last; safe for threads.

    Args:
        limit: The number of values that are kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def peek(self, key: K) -> V | None:
        """Return the value of a key, or None if it is not kept; this does not count as a use."""
        with self._lock:
            return self._kept.get(key)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, made if it is not kept.

        Two threads may make the same value at once; an error of `make` is passed on.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > self.limit:
                self._kept.popitem(last=False)
        return value

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._kept.clear()
