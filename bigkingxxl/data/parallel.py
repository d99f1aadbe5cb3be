"""Run many independent tasks in a few processes and yield the results as they arrive."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.processes import die_with_parent

T = TypeVar("T")
R = TypeVar("R")
WAITING_PER_WORKER = 4


def finished(
    function: Callable[[T], R], tasks: Iterable[T], workers: int | None = None
) -> Iterator[R]:
    """Yield the results of tasks in order of completion; tasks are taken when a process is free.

    Args:
        function: A function that can be imported by name; tasks and results are pickled.
        tasks: The tasks.
        workers: The number of processes; by default one per core. With 1 the work is done in this
            process. Processes are spawned: a script must call this under
            `if __name__ == "__main__"`.

    Raises:
        BigKingXXLError: A process was killed. Exceptions of the function are passed on.
    """
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield from map(function, tasks)
        return
    # Forking a process that may have threads can deadlock the child.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _leave_ends_to_parent)
    queue = iter(tasks)
    try:
        running = {pool.submit(function, task) for task in islice(queue, workers)}
        while running:
            running |= {
                pool.submit(function, task)
                for task in islice(queue, WAITING_PER_WORKER * workers - len(running))
            }
            ready, running = _wait(running)
            yield from (future.result() for future in ready)
    except BrokenProcessPool as error:
        raise BigKingXXLError(
            "a worker process was killed, possibly because memory ran out: run the command again "
            "with fewer --workers",
            key="--workers",
            found=workers,
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _wait(running: set[Future[R]]) -> tuple[set[Future[R]], set[Future[R]]]:
    done, pending = wait(running, return_when=FIRST_COMPLETED)
    return done, pending


def _leave_ends_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
