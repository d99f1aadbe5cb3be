"""Signals that end a training at its next step, so that a checkpoint keeps what was learnt."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from bigkingxxl.errors import Interrupted
from bigkingxxl.processes import die_with_parent

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
WORKERS_OUTLIVE = 120  # seconds


class Stopped(BaseException):
    """Unwinds a training that a signal asked to stop; `KeyboardInterrupt` Lightning would eat."""


class StopRequest:
    """Whether a signal asked this training to stop.

    Attributes:
        signum: the first signal that did.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    def __bool__(self) -> bool:
        return self.signum is not None

    def check(self) -> None:
        """End the training here if it was asked for.

        Raises:
            Stopped: it was.
        """
        if self:
            raise Stopped

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """The handler of signals: the first asks, the second does not wait."""
        if self:
            raise Stopped
        self.signum = signum

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals in the block, which `check` then ends.

        Raises:
            Interrupted: a signal ended it.
        """
        before = {number: signal.getsignal(number) for number in ending_signals()}
        self.listen()
        try:
            yield
        except Stopped:
            raise Interrupted(self.signum or signal.SIGINT) from None
        finally:
            if _hears_signals():
                for number, handler in before.items():
                    signal.signal(number, handler)

    def listen(self) -> None:
        """Be the one who takes signals from now on, also after Lightning asked for them."""
        if _hears_signals():
            for number in ending_signals():
                signal.signal(number, self.receive)


def ending_signals() -> list[signal.Signals]:
    """Those that end a process here; what is ignored (nohup) stays ignored."""
    known = (getattr(signal, name, None) for name in ENDING)
    return [each for each in known if each and signal.getsignal(each) is not signal.SIG_IGN]


def _hears_signals() -> bool:
    # Python hands signals to the main thread alone.
    return threading.current_thread() is threading.main_thread()


def start_worker(_: int) -> None:
    """What a worker process does first: it dies with its parent, and outlives a signal to all.

    A terminal or a cluster signals every process of a training; the parent still needs the batch
    that it waits for. A worker that was left alone ends by itself a little later, and at once when
    it is told again: that is the parent, which is about to end.
    """
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)


def _end_later(signum: int, _: FrameType | None) -> None:
    if hasattr(signal, "alarm"):
        if signal.alarm(WORKERS_OUTLIVE):
            os._exit(0)
    else:
        os._exit(128 + signum)
