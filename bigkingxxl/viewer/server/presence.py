"""Remember which windows have which image open, to warn people who correct the same image."""

from __future__ import annotations

import threading
import time

SECONDS_PRESENT = 45.0  # a window that has not reported for longer counts as closed


class Presence:
    """The windows that reported recently which image they show; safe for threads."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str | None, float]] = {}
        self._lock = threading.Lock()

    def note(self, window: str, key: str | None) -> bool:
        """Note that a window shows an image.

        Args:
            window: The id of the window.
            key: The key of the image; None if the window shows none.

        Returns:
            Whether any window shows another image than before, or was closed.
        """
        with self._lock:
            now = time.monotonic()
            before = self._shown()
            self._seen[window] = (key, now)
            for each, (_, when) in list(self._seen.items()):
                if now - when > SECONDS_PRESENT:
                    del self._seen[each]
            return before != self._shown()

    def others(self, window: str, key: str) -> int:
        """Count the other windows that show an image.

        Args:
            window: The id of the window that asks.
            key: The key of the image.
        """
        with self._lock:
            now = time.monotonic()
            return sum(
                shown == key and name != window and now - when <= SECONDS_PRESENT
                for name, (shown, when) in self._seen.items()
            )

    def _shown(self) -> dict[str, str | None]:
        return {window: key for window, (key, _) in self._seen.items()}
