"""Signals that stop a training at its next step, so that a checkpoint preserves its state."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from bigkingxxl.errors import Interrupted
from bigkingxxl.processes import die_with_parent

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")  # SIGHUP does not exist on Windows
WORKERS_OUTLIVE = 120  # seconds that workers continue after a signal


class Stopped(BaseException):
    """Stops a training on a signal; Lightning would catch a `KeyboardInterrupt`."""


class StopRequest:
    """Whether a signal asked this training to stop.

    Attributes:
        signum: The first such signal.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    def __bool__(self) -> bool:
        return self.signum is not None

    def check(self) -> None:
        """Stop the training here if a signal asked for it.

        Raises:
            Stopped: A signal did.
        """
        if self:
            raise Stopped

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: the first one asks to stop, the second one stops at once."""
        if self:
            raise Stopped
        self.signum = signum

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals within the block, which `check` then stops.

        Raises:
            Interrupted: A signal ended it.
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
        """Install the signal handlers again, after Lightning has installed its own."""
        if _hears_signals():
            for number in ending_signals():
                signal.signal(number, self.receive)


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a process here; ignored ones (nohup) stay ignored."""
    known = (getattr(signal, name, None) for name in ENDING)
    return [each for each in known if each and signal.getsignal(each) is not signal.SIG_IGN]


def _hears_signals() -> bool:
    # Python delivers signals to the main thread only.
    return threading.current_thread() is threading.main_thread()


def start_worker(_: int) -> None:
    """Initialise a worker process: it ends with its parent, but not on a signal to the group.

    A terminal or a cluster signals every process of a training, but the parent still needs the
    batch that it waits for. A worker ends by itself a little later, or at once on a second signal,
    which comes from the parent that is about to end.
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
