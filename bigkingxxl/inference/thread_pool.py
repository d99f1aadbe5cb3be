"""Process several items at once and return the results in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

L = TypeVar("L")
R = TypeVar("R")


@dataclass(frozen=True)
class Task(Generic[L, R]):
    """A unit of work.

    Attributes:
        label: The label of its result.
        work: The function to run in a thread.
        alone: Whether nothing else may run at the same time, because it needs much memory.
    """

    label: L
    work: Callable[[], R]
    alone: bool = False


def in_order(tasks: Iterable[Task[L, R]], ahead: int) -> Generator[tuple[L, Future[R]], None, None]:
    """Yield the label and future of each task in order, while up to `ahead` of them are running.

    Tasks are taken from the iterable only when they can start. Close the iterator, for example with
    `contextlib.closing`: pending tasks are then dropped, and running ones are awaited.
    """
    waiting: deque[tuple[L, Future[R]]] = deque()
    pool = ThreadPoolExecutor(ahead, thread_name_prefix="image")
    room = ahead
    try:
        for task in tasks:
            room = 1 if task.alone else room
            while len(waiting) >= room:
                yield waiting.popleft()
            waiting.append((task.label, pool.submit(task.work)))
            room = 1 if task.alone else ahead
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
