"""Which windows look at which image."""

from __future__ import annotations

import threading
import time

SECONDS_PRESENT = 45.0


class Presence:
    """Windows that said lately which image they show; any thread may ask."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str | None, float]] = {}
        self._lock = threading.Lock()

    def note(self, window: str, key: str | None) -> bool:
        """A window shows an image, or none; True where who looks at what has changed."""
        with self._lock:
            now = time.monotonic()
            before = self._shown()
            self._seen[window] = (key, now)
            for each, (_, when) in list(self._seen.items()):
                if now - when > SECONDS_PRESENT:
                    del self._seen[each]
            return before != self._shown()

    def others(self, window: str, key: str) -> int:
        """How many other windows show an image."""
        with self._lock:
            now = time.monotonic()
            return sum(
                shown == key and name != window and now - when <= SECONDS_PRESENT
                for name, (shown, when) in self._seen.items()
            )

    def _shown(self) -> dict[str, str | None]:
        return {window: key for window, (key, _) in self._seen.items()}
