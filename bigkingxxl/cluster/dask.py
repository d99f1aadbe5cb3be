"""An engine on a Dask cluster: workers on any machines that share the folder of the run.

A task is a unit, and its result is the outcome. If a worker dies, its units are done again by
others. The models are loaded once per worker, by its first unit.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from uuid import uuid4

from bigkingxxl.cluster.dask_worker import (
    SAME_DIGITS,
    TRIES,
    digits,
    do_task,
    probe,
    starts,
    starts_file,
)
from bigkingxxl.cluster.dispatch import Lost
from bigkingxxl.cluster.job import Done, Job, Task
from bigkingxxl.errors import BigKingXXLError, InputError
from bigkingxxl.provenance import own_version

log = logging.getLogger(__name__)

LOCAL = "local:"
SECONDS_FOR_WORKERS = 60.0
# Workers that this process started are restarted when they die, which takes minutes on a machine
# that does much else.
SECONDS_FOR_OWN_WORKERS = 900.0
SECONDS_BETWEEN_UPDATES = 2.0
SECONDS_TO_ANSWER = 30.0
# A scheduler that is connected but silent counts as lost after that, and one more question: within
# five minutes.
SECONDS_WITHOUT_ANSWER = 265.0


class SchedulerLostError(BigKingXXLError):
    """The scheduler has disappeared; finished work is kept."""


class WorkersLostError(BigKingXXLError):
    """The workers that this process started have disappeared; finished work is kept."""


class DaskEngine:
    """Does tasks on the workers of a connected client."""

    def __init__(self, client: Any, address: str) -> None:
        self.client, self.address = client, address
        self._token = uuid4().hex[:8]
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._tasks: dict[str, tuple[Task, Any]] = {}
        self._job: Job | None = None
        self._threads, self._updated, self._count = 1, 0.0, 0
        self._answered = time.monotonic()

    @property
    def slots(self) -> int:
        """The number of tasks in flight: one per thread of the cluster, and a few waiting."""
        if time.monotonic() - self._updated > SECONDS_BETWEEN_UPDATES:
            self._update_threads()
        return self._threads + max(1, self._threads // 4)

    @property
    def large_slots(self) -> int:
        """The same number, because whoever starts workers knows their memory."""
        return self.slots

    def _update_threads(self) -> None:
        """Update the number of threads of the workers."""
        workers = self._workers()
        if workers is not None:
            self._threads = max(1, sum(workers.values()))
        self._updated = time.monotonic()

    def _workers(self) -> dict[str, int] | None:
        """Return the number of threads by worker; None if the scheduler gives no answer now.

        Raises:
            SchedulerLostError: It has disappeared, or has not answered for some minutes.
        """
        if self.client.status not in ("running", "connecting"):
            raise self._lost_scheduler()
        try:
            found: dict[str, int] = self.client.nthreads(callback_timeout=SECONDS_TO_ANSWER)
        except Exception as error:  # of the network, in many classes
            if time.monotonic() - self._answered > SECONDS_WITHOUT_ANSWER:
                raise self._lost_scheduler() from error
            return None
        self._answered = time.monotonic()
        return found

    def begin(self, job: Job) -> None:
        """Ask all workers whether they can do the job.

        Raises:
            InputError: A worker has another version or does not see the folder; the message names
                it.
            SchedulerLostError: The scheduler has disappeared.
        """
        self._job = job
        self._update_threads()
        answers = self._probed(job)
        for worker, answer in answers.items():
            if isinstance(answer, ModuleNotFoundError):
                raise InputError(
                    f"the worker {worker} has no package '{answer.name}': install bigkingxxl "
                    f"{own_version()} on all workers",
                    key=answer.name,
                    found=worker,
                    expected=own_version(),
                )
            if isinstance(answer, Exception):
                raise InputError(f"the worker {worker}: {answer}", found=worker)
        own = digits()
        others = {worker for worker, answer in answers.items() if answer != own}
        if others:
            log.warning(
                "%s: other versions of %s than here, so results may differ in the last digits",
                ", ".join(sorted(others)[:3]), " or ".join(SAME_DIGITS),
            )  # fmt: skip

    def _probed(self, job: Job) -> dict[str, Any]:
        """Return what `probe` returns or raises on each worker, however long that takes."""
        answers: SimpleQueue[Any] = SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self.client.run(probe, job, on_error="return"))
            except Exception as error:  # of the network, in many classes
                answers.put(error)

        Thread(target=ask, daemon=True).start()
        while True:
            with suppress(Empty):
                found = answers.get(timeout=SECONDS_BETWEEN_UPDATES)
                if isinstance(found, Exception):
                    raise self._lost_scheduler() from found
                return dict(found)
            self._workers()  # notices that the scheduler is lost

    def submit(self, task: Task) -> None:
        """Send a task to the cluster."""
        self._count += 1
        place = "" if task.image is None else f"-{task.image}-{task.block}"
        key = f"predict-{task.name}{place}-{self._token}-{self._count}"
        future = self.client.submit(
            do_task, self._job, self._token, task, key=key, pure=False, retries=0
        )
        self._tasks[key] = (task, future)
        future.add_done_callback(self._ended.put)

    def next(self) -> Done | Lost:
        """Return the task that ends first.

        Raises:
            SchedulerLostError: The scheduler has disappeared.
            WorkersLostError: All workers that this process started have disappeared.
        """
        alone_since = time.monotonic()
        while True:
            try:
                future = self._ended.get(timeout=SECONDS_BETWEEN_UPDATES)
            except Empty:
                alone_since = self._check_workers(alone_since)
                continue
            known = self._tasks.pop(future.key, None)
            if known is not None:
                return self._ended_task(known[0], future)

    def _ended_task(self, task: Task, future: Any) -> Done | Lost:
        """Return the outcome of a task; it is done again if the worker that holds it dies."""
        alone_since = time.monotonic()
        while future.status in ("finished", "pending", "error"):
            try:
                done: Done | None = future.result(timeout=SECONDS_BETWEEN_UPDATES)
            except TimeoutError:
                alone_since = self._check_workers(alone_since)
            except Exception as error:
                if future.status == "error":
                    return self._failed(task, error)
            else:
                return self._deadly(task) if done is None else done
        # A result is also cancelled if its worker died before it could be fetched.
        if self._scheduler_answers():
            return Lost(task, "its result was lost with a worker", is_final=False)
        raise self._lost_scheduler()

    def _scheduler_answers(self) -> bool:
        return self.client.status == "running" and self._workers() is not None

    def drop(self) -> list[Task]:
        """Return none: waiting tasks are about to start."""
        return []

    def _failed(self, task: Task, error: Any) -> Lost:
        if type(error).__name__ == "KilledWorker":
            # It may only have waited at workers that other tasks killed.
            is_deadly = self._job is None or starts(self._job, self._token, task) >= TRIES
            return self._deadly(task) if is_deadly else Lost(task, "", is_final=False)
        if isinstance(error, BigKingXXLError | MemoryError):
            raise error
        # A worker that joined after `begin` may have another version, or none.
        raise InputError(
            f"a worker of {self.address} cannot do its part ({type(error).__name__}: {error}): "
            f"install bigkingxxl {own_version()} on all workers; finished images are kept",
            found=self.address,
            expected=own_version(),
        ) from error

    def _deadly(self, task: Task) -> Lost:
        if self._job is not None:
            starts_file(self._job, self._token, task).unlink(missing_ok=True)
        return Lost(task, f"the workers that worked on it died, {TRIES} times (is there memory "
                    "for it?)", is_final=True)  # fmt: skip

    def _check_workers(self, since: float) -> float:
        """Return since when there is no worker; report it once in a while."""
        workers = self._workers()
        if workers or workers is None:
            return time.monotonic()
        waited = time.monotonic() - since
        if self.address.startswith(LOCAL):  # nobody else starts any
            if waited > SECONDS_FOR_OWN_WORKERS:
                raise WorkersLostError(
                    "all worker processes that --scheduler started have died, possibly because "
                    "memory ran out: finished images are kept; run the command again to continue"
                )
        elif waited > SECONDS_FOR_WORKERS:
            log.warning("no worker of %s is left: waiting for one", self.address)
            return time.monotonic()
        return since

    def _lost_scheduler(self) -> SchedulerLostError:
        return SchedulerLostError(
            f"the scheduler at {self.address} cannot be reached any more: finished images are "
            "kept; start it and run the command again to continue"
        )
