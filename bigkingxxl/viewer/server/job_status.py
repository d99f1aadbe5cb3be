"""A job: what it does, where it stands, and how it says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bigkingxxl.viewer import contract as wire

SECONDS_BETWEEN_EVENTS = 0.2
LEAST_TO_GO_BY = 0.03  # the share of a job that tells how long the rest will take


class CancelledError(Exception):
    """A job was told to stop."""


class Report:
    """How a job says where it stands, and learns that it is to stop."""

    def __init__(self, task: JobStatus, tell: Callable[[JobStatus], None]) -> None:
        self._task, self._tell = task, tell
        self._told = 0.0
        self._first: tuple[float, float] | None = None  # where it began, and when

    def step(self, done: float, total: float | None, message: str = "") -> None:
        """Where the job stands.

        Raises:
            CancelledError: it is to stop.
        """
        task, now = self._task, time.monotonic()
        task.done, task.total, task.message = done, total, message or task.message
        if self._first is None or done < self._first[0]:
            self._first = done, now
        task.seconds_left = self._seconds_left(done, total, now)
        if now - self._told >= SECONDS_BETWEEN_EVENTS:
            self._told = now
            self._tell(task)
        self.check()

    def _seconds_left(self, done: float, total: float | None, now: float) -> float | None:
        """As fast as it went until now; a job that is resumed does not begin at 0."""
        if self._first is None or not total:
            return None
        since = done - self._first[0]
        if since < LEAST_TO_GO_BY * total:
            return None
        return max((now - self._first[1]) / since * (total - done), 0.0)

    def check(self) -> None:
        """Stop here where that was asked for.

        Raises:
            CancelledError: it was.
        """
        if self._task.stop.is_set():
            raise CancelledError

    @property
    def stop(self) -> threading.Event:
        """Set when the job is to stop."""
        return self._task.stop


class Job(Protocol):
    """What a job does."""

    kind: wire.JobKind
    can_resume: bool

    def run(self, report: Report) -> Finished: ...


@dataclass(frozen=True)
class Finished:
    """What a job made.

    Attributes:
        message: one sentence; files: within the folder; result: of learning, to be asked about.
    """

    message: str = ""
    files: tuple[str, ...] = ()
    result: wire.LearnResult | None = None


@dataclass
class JobStatus:
    """A job and where it stands."""

    id: str
    job: Job
    state: wire.JobState = "waiting"
    done: float = 0.0
    total: float | None = None
    message: str = ""
    seconds_left: float | None = None
    error: str = ""
    files: tuple[str, ...] = ()
    result: wire.LearnResult | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def shown(self) -> wire.Job:
        """As windows see it."""
        is_over = self.state in ("cancelled", "failed")
        return wire.Job(
            id=self.id, kind=self.job.kind, state=self.state, done=self.done, total=self.total,
            message=self.message, error=self.error, files=self.files, result=self.result,
            seconds_left=self.seconds_left if self.state == "running" else None,
            can_cancel=self.state in ("waiting", "running"),
            can_resume=is_over and self.job.can_resume,
        )  # fmt: skip
