"""Work on several items at once whose results come in the items' order."""

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
    """One piece of work.

    Attributes:
        label: what its outcome is called.
        work: what is to be done, in a thread of its own.
        alone: whether nothing else may run beside it (it takes much memory).
    """

    label: L
    work: Callable[[], R]
    alone: bool = False


def in_order(tasks: Iterable[Task[L, R]], ahead: int) -> Generator[tuple[L, Future[R]], None, None]:
    """Each task's label and outcome, in order, while up to `ahead` of them are worked on.

    No more tasks are asked for than are worked on. When the iterator is closed (do so: a
    `contextlib.closing` around it), what has not begun is dropped and what has is waited for.
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
