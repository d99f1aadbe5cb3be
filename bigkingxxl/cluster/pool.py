"""An engine of processes of this machine, which share its cores and each load the models once.

It uses processes because decoding and writing hold Python's global lock. If a process dies, its
unit is tried once more, and the others continue. A process that crashed is replaced; one that was
killed is not, because there was probably no memory for it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from bigkingxxl.cluster.dispatch import Lost
from bigkingxxl.cluster.job import Done, Job, Station, Task
from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.memory import free_bytes
from bigkingxxl.processes import cores, die_with_parent, ends_blocked, ignore_ends, threads_allowed

log = logging.getLogger(__name__)

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TRIES = 2
READY = "ready"  # the first answer of a process
KILLED = -9  # the exit code after SIGKILL, which a system sends that has no memory left
# of a process working on images that are not large, with the bundled model
BYTES_EACH = 700 * 2**20
LARGE_BYTES = 2600 * 2**20  # of a process working on a large unit
FILES_EACH = 8  # a process saves more time than its start takes if it has as many files
MOST = 8  # processes that are started without being asked for


class NoProcessError(BigKingXXLError):
    """No process could be started; finished work is kept."""


@dataclass
class _Worker:
    process: Any
    connection: Connection
    task: Task | None = None
    is_ready: bool = False


class Pool:
    """Processes that do tasks; a context manager that ends them.

    Args:
        count: The number of processes.
        threads: The number of threads of each; by default they share all cores.
    """

    def __init__(self, count: int, threads: int | None = None) -> None:
        self.count = count
        self.threads = max(1, cores() // count) if threads is None else threads
        self._workers: list[_Worker] = []
        self._tries: dict[Task, int] = {}
        self._done: list[Done | Lost] = []
        self._job: Job | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.connection.close()  # it ends after its task
        for worker in self._workers:
            if worker.task is not None:  # after an error nobody waits for its task
                worker.process.kill()
            worker.process.join()

    @property
    def slots(self) -> int:
        """The number of tasks in flight: one per process."""
        return max(len(self._workers), 1)

    @property
    def large_slots(self) -> int:
        """The number of large units that fit into the memory of this machine at once."""
        return max(1, min(self.count, free_bytes() // LARGE_BYTES))

    def begin(self, job: Job) -> None:
        """Start the processes, or as many as the system allows.

        Raises:
            NoProcessError: It allows none.
        """
        self._job = job
        for _ in range(self.count):
            self._start()

    def submit(self, task: Task) -> None:
        """Give a task to an idle process.

        Raises:
            NoProcessError: All processes have died, and the system allows no other.
        """
        if not self._workers:
            self._start()
        worker = next(each for each in self._workers if each.task is None)
        worker.task = task
        with suppress(OSError):  # it has died, as `next` will notice
            worker.connection.send(task)

    def next(self) -> Done | Lost:
        """Return the task that ends first; errors that end the run are raised.

        Raises:
            NoProcessError: All processes end before they can do anything.
        """
        while not self._done:
            by_signal: dict[Any, _Worker] = {}
            for each in self._workers:
                by_signal[each.connection] = by_signal[each.process.sentinel] = each
            ready = wait(list(by_signal))
            for worker in {id(by_signal[each]): by_signal[each] for each in ready}.values():
                self._receive(worker)
        return self._done.pop(0)

    def drop(self) -> list[Task]:
        """Return none: no process has more than one task."""
        return []

    def _receive(self, worker: _Worker) -> None:
        try:
            answer = worker.connection.recv() if worker.connection.poll() else None
        except (EOFError, OSError):
            answer = None
        if isinstance(answer, Exception):
            worker.task = None
            raise answer
        if answer == READY:
            worker.is_ready = True
        elif answer is not None:
            worker.task = None
            self._done.append(answer)
        elif not worker.process.is_alive() or worker.connection.closed:
            self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        """Remove a process that died; its task is tried once more."""
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        how = _end_of(worker.process.exitcode)
        if not worker.is_ready and not self._workers:
            raise NoProcessError(f"the worker processes end before they begin (the last one {how})")
        if worker.task is None:
            return
        if not worker.is_ready:  # the task has nothing to do with it
            self._done.append(Lost(worker.task, "", is_final=False))
            return
        tries = self._tries[worker.task] = self._tries.get(worker.task, 0) + 1
        reason = f"the process that worked on it {how}, {tries} times (is there memory for it?)"
        self._done.append(Lost(worker.task, reason, tries >= TRIES))
        if worker.process.exitcode != KILLED:
            self._start()

    def _start(self) -> None:
        """Start a process; if the system allows no further one, the others do the work."""
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_work, args=(theirs, self._job), name="worker")
        try:
            with threads_each(self.threads), ends_blocked():
                process.start()
        except OSError as error:
            ours.close()
            reason = error.strerror or error
            if not self._workers:
                raise NoProcessError(f"no process can be started ({reason})") from error
            log.warning("no more than %d processes can be started (%s)", len(self._workers), reason)
        else:
            self._workers.append(_Worker(process, ours))
        finally:
            theirs.close()


def _end_of(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"


@contextmanager
def threads_each(count: int) -> Iterator[None]:
    """Limit the threads of processes that are started within the block."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(connection: Connection, job: Job) -> None:
    """Do tasks until the pipe is closed."""
    die_with_parent()
    ignore_ends()
    with suppress(EOFError, OSError):  # the parent has closed the pipe
        try:
            station = Station(job)
        except Exception as error:
            connection.send(sendable(error))
            return
        connection.send(READY)
        while True:
            connection.send(_answer(station, connection.recv()))


def _answer(station: Station, task: Task) -> Done | Exception:
    try:
        return station.do(task)
    except Exception as error:
        return sendable(error)


def sendable(error: Exception) -> Exception:
    """Convert an error so that it can be sent to another process."""
    if isinstance(error, BigKingXXLError | MemoryError):
        return type(error)(str(error))
    return RuntimeError(f"{type(error).__name__}: {error}")


def fitting(workers: int, files: int) -> int:
    """Return how many of the requested processes fit into memory.

    Args:
        workers: The requested number; 0 for one per core.
        files: The number of files.
    """
    asked = workers or min(cores(), max(files, 1))
    room = max(1, free_bytes() // BYTES_EACH)
    if workers and room < asked:
        log.warning(
            "--workers is %d, but there is enough memory for only %d (%.1f GB are free, and each "
            "needs about %.1f GB), so only as many are started", asked, room, free_bytes() / 1e9,
            BYTES_EACH / 1e9,
        )  # fmt: skip
    return min(asked, room)


def worthwhile(files: int) -> int:
    """Return how many processes do a run fastest, if the user does not choose the number.

    Args:
        files: The number of files.
    """
    return min(threads_allowed(), max(files // FILES_EACH, 1), MOST, fitting(0, files))
