"""Stop a run early: before the time limit of its job, or on a signal."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bigkingxxl.errors import InputError, Interrupted

EXIT_GO_ON = 75  # EX_TEMPFAIL of sysexits.h: not finished, try again
ENDING = ("SIGTERM", "SIGUSR1")  # SIGUSR1 does not exist on Windows
SAFETY = 1.2  # the next unit may take this factor times the longest one so far
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Deadline:
    """Decides whether there is time for another unit of work.

    A unit is started only if the longest one so far would fit. While it listens, SIGTERM and
    SIGUSR1 let running units finish and prevent new ones; a second SIGTERM stops at once.

    Args:
        seconds: The time limit from now; None sets none.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds, self.signum = seconds, 0
        self._began, self._longest = time.monotonic(), 0.0

    def note(self, seconds: float) -> None:
        """Record the duration of a unit."""
        self._longest = max(self._longest, seconds)

    @property
    def left(self) -> float | None:
        """Return the seconds until the limit, or None."""
        return None if self.seconds is None else self.seconds - (time.monotonic() - self._began)

    @property
    def is_due(self) -> bool:
        """Return whether no further unit may start."""
        left = self.left
        return self.signum > 0 or (left is not None and left <= SAFETY * self._longest)

    @property
    def reason(self) -> str:
        """The reason in a few words."""
        return f"signal {signal.Signals(self.signum).name}" if self.signum else "the time limit"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals within the block, in the main thread.

        Raises:
            Interrupted: SIGTERM arrived twice.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
        before = {number: signal.signal(number, self._receive) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, signum: int, _: FrameType | None) -> None:
        if self.signum == signum == signal.SIGTERM:
            raise Interrupted(signum)
        self.signum = signum


def seconds_of(text: str) -> float:
    """Parse a time limit: '90' (minutes), '1:30:00', '2-12:00:00' as in SLURM, or '45s'.

    Raises:
        InputError: It is not a positive duration.
    """
    found = _seconds_of(text.strip().lower())
    if found is None:
        raise InputError(
            f"--time-limit is '{text}', expected minutes (90), hours:minutes:seconds (1:30:00), "
            "days-hours:minutes:seconds (2-12:00:00), or a number with s, m, h or d (45s)",
            key="--time-limit",
            found=text,
        )
    if found <= 0:
        raise InputError(
            f"--time-limit is '{text}', expected a time above 0",
            key="--time-limit",
            found=text,
        )
    return found


def _seconds_of(text: str) -> float | None:
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text):
        return float(match[1]) * UNITS[match[2] or "m"]
    if match := re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d{1,2}))?(?::(\d{1,2}))?", text):
        days, *parts = match.groups()
        numbers = [int(each) for each in parts if each is not None]
        # Two parts are minutes and seconds, or with days hours and minutes.
        scales = (3600, 60, 1) if days is not None or len(numbers) == 3 else (60, 1)
        clock = sum(number * scale for number, scale in zip(numbers, scales, strict=False))
        return 86400.0 * int(days or 0) + clock
    return None
