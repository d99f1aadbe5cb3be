"""Process several items at once and return the results in the order of the items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

L = TypeVar("L")
R = TypeVar("R")
PAIR = 2  # items that may be in progress whatever their size


@dataclass(frozen=True)
class Task(Generic[L, R]):
    """A unit of work.

    Attributes:
        label: The label of its result.
        work: The function to run in a thread.
        alone: Whether nothing else may run at the same time, because it needs much memory.
        size: The size of the item; see `in_order`.
        shares_cores: Whether it may compute beside other tasks, each on a share of the cores,
            instead of taking turns with them.
    """

    label: L
    work: Callable[[], R]
    alone: bool = False
    size: int = 0
    shares_cores: bool = False


@dataclass
class _Company:
    """The tasks that share the cores.

    Attributes:
        count: The largest number of tasks at once.
        has_begun: Whether two of them have been in progress at once.
    """

    count: int
    has_begun: bool = False


_here = threading.local()


def sharers() -> int:
    """Return the number of tasks that share the cores with that of this thread, itself included."""
    company: _Company | None = getattr(_here, "company", None)
    return company.count if company is not None and company.has_begun else 1


def in_order(
    tasks: Iterable[Task[L, R]], ahead: int, room: int | None = None
) -> Generator[tuple[L, Future[R]], None, None]:
    """Yield the label and future of each task in order, while up to `ahead` of them are running.

    Tasks are taken from the iterable only when they can start. Close the iterator, for example with
    `contextlib.closing`: pending tasks are then dropped, and running ones are awaited.

    Args:
        tasks: The tasks.
        ahead: The largest number of tasks in progress.
        room: The largest total size of three or more tasks in progress; None for no limit.
    """
    waiting: deque[tuple[Task[L, R], Future[R]]] = deque()
    pool = ThreadPoolExecutor(ahead, thread_name_prefix="image")
    company = _Company(ahead)

    def is_full(task: Task[L, R]) -> bool:
        if task.alone or any(each.alone for each, _ in waiting):
            return bool(waiting)
        total = task.size + sum(each.size for each, _ in waiting)
        too_large = room is not None and total > room and len(waiting) >= PAIR
        return len(waiting) >= ahead or too_large

    def begin(task: Task[L, R]) -> R:
        _here.company = company if task.shares_cores else None
        return task.work()

    try:
        for task in tasks:
            while is_full(task):
                done, future = waiting.popleft()
                yield done.label, future
            beside = task.shares_cores and any(each.shares_cores for each, _ in waiting)
            company.has_begun = company.has_begun or beside
            waiting.append((task, pool.submit(begin, task)))
        while waiting:
            done, future = waiting.popleft()
            yield done.label, future
    finally:
        pool.shutdown(cancel_futures=True)
