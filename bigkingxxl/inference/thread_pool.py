"""Process several items at once and return the results in the order of the items."""

from __future__ import annotations

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
    """

    label: L
    work: Callable[[], R]
    alone: bool = False
    size: int = 0


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

    def is_full(task: Task[L, R]) -> bool:
        if task.alone or any(each.alone for each, _ in waiting):
            return bool(waiting)
        total = task.size + sum(each.size for each, _ in waiting)
        too_large = room is not None and total > room and len(waiting) >= PAIR
        return len(waiting) >= ahead or too_large

    try:
        for task in tasks:
            while is_full(task):
                done, future = waiting.popleft()
                yield done.label, future
            waiting.append((task, pool.submit(task.work)))
        while waiting:
            done, future = waiting.popleft()
            yield done.label, future
    finally:
        pool.shutdown(cancel_futures=True)
