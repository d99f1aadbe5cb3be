"""Numbered events for all windows that request them."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Literal

from bigkingxxl.viewer.contract import Event, EventList, ImageEntry, Job

KEPT = 2000
LONGEST_WAIT = 25.0  # seconds


class Events:
    """The newest events; a request waits for the next one."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._newest = 0
        self._changed = threading.Condition()
        self._is_closed = False

    @property
    def newest(self) -> int:
        """The number of the newest event."""
        return self._newest

    def add(
        self, kind: Literal["image", "job", "folder", "windows"], *,
        image: ImageEntry | None = None, window: str = "", job: Job | None = None,
    ) -> None:  # fmt: skip
        """Notify all windows."""
        with self._changed:
            self._newest += 1
            event = Event(number=self._newest, kind=kind, image=image, window=window, job=job)
            self._events.append(event)
            self._changed.notify_all()

    def after(self, number: int, wait: float = 0.0) -> EventList:
        """Return the events after a number; if there are none, wait for some seconds.

        Args:
            number: A negative number returns the current number only.
            wait: The largest waiting time in seconds.
        """
        with self._changed:
            if number < 0:
                return EventList(newest=self._newest, events=())
            if number > self._newest:  # of a server that ran earlier
                return EventList(newest=self._newest, missed=True, events=())
            until = time.monotonic() + min(wait, LONGEST_WAIT)
            while self._newest <= number and not self._is_closed:
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            events = tuple(event for event in self._events if event.number > number)
            missed = len(events) < self._newest - number
            return EventList(newest=self._newest, missed=missed, events=events)

    def close(self) -> None:
        """Wake up all waiting requests."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
