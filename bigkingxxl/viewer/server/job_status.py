"""Background jobs: the interface of a job, its state, and how it reports its progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bigkingxxl.viewer import contract as wire

SECONDS_BETWEEN_EVENTS = 0.2
LEAST_TO_GO_BY = 0.03  # the fraction of a job after which its remaining time is estimated


class CancelledError(Exception):
    """A job was told to stop."""


class Report:
    """Passes on the progress of a job, and tells the job when it is to stop."""

    def __init__(self, task: JobStatus, tell: Callable[[JobStatus], None]) -> None:
        self._task, self._tell = task, tell
        self._told = 0.0
        self._first: tuple[float, float] | None = None  # where it began, and when

    def step(self, done: float, total: float | None, message: str = "") -> None:
        """Report the progress of the job.

        Args:
            done: How much is done, in any unit.
            total: How much there is in all, in the same unit; None if unknown.
            message: What is being done; by default as before.

        Raises:
            CancelledError: The job is to stop.
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
        """Estimate the remaining seconds from the speed since this process took up the job."""
        if self._first is None or not total:
            return None
        since = done - self._first[0]
        if since < LEAST_TO_GO_BY * total:
            return None
        return max((now - self._first[1]) / since * (total - done), 0.0)

    def check(self) -> None:
        """Check whether the job is to stop.

        Raises:
            CancelledError: It is.
        """
        if self._task.stop.is_set():
            raise CancelledError

    @property
    def stop(self) -> threading.Event:
        """Set when the job is to stop."""
        return self._task.stop


class Job(Protocol):
    """A background job.

    Attributes:
        kind: What it does, for the page.
        can_resume: Whether it can continue after it was cancelled or failed.
    """

    kind: wire.JobKind
    can_resume: bool

    def run(self, report: Report) -> Finished:
        """Do the job.

        Raises:
            CancelledError: It was told to stop.
        """
        ...


@dataclass(frozen=True)
class Finished:
    """The outcome of a job.

    Attributes:
        message: One sentence for the user.
        files: The files that were written, as paths within the folder.
        result: The result of learning, on which the user decides; None for other jobs.
    """

    message: str = ""
    files: tuple[str, ...] = ()
    result: wire.LearnResult | None = None


@dataclass
class JobStatus:
    """A job and its state.

    Attributes:
        id: The identifier of the job, unique within the server.
        job: The job.
        state: Whether it waits, runs, asks, or how it ended.
        done: How much is done, in the unit of `total`.
        total: How much there is in all; None if unknown.
        message: What is being done, or the outcome.
        seconds_left: The estimated remaining time; None if unknown.
        error: Why it failed, or "".
        files: The files that were written, as paths within the folder.
        result: The result of learning, on which the user decides.
        stop: Set to stop the job.
    """

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
        """Return the job as the page receives it."""
        is_over = self.state in ("cancelled", "failed")
        return wire.Job(
            id=self.id, kind=self.job.kind, state=self.state, done=self.done, total=self.total,
            message=self.message, error=self.error, files=self.files, result=self.result,
            seconds_left=self.seconds_left if self.state == "running" else None,
            can_cancel=self.state in ("waiting", "running"),
            can_resume=is_over and self.job.can_resume,
        )  # fmt: skip
