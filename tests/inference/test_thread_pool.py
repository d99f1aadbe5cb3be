"""Work of several threads, in the order of its items."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from bigkingxxl.inference.thread_pool import Task, in_order


class Watch:
    """Counts how many tasks run at once."""

    def __init__(self) -> None:
        self.lock, self.running, self.most, self.begun = threading.Lock(), 0, 0, 0
        self.beside_lone = 0

    def work(self, number: int, alone: bool = False) -> int:
        with self.lock:
            self.running += 1
            self.begun += 1
            self.most = max(self.most, self.running)
            self.beside_lone = max(self.beside_lone, self.running if alone else 0)
        time.sleep(0.02 if number % 2 else 0.001)
        with self.lock:
            self.running -= 1
        return number


def tasks(watch: Watch, count: int, alone: tuple[int, ...] = ()) -> Iterator[Task[int, int]]:
    for number in range(count):
        yield Task(number, partial(watch.work, number, number in alone), number in alone)


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_results_are_ordered_and_concurrency_is_limited(ahead: int) -> None:
    watch = Watch()
    with closing(in_order(tasks(watch, 12), ahead)) as outcomes:
        found = [(label, outcome.result()) for label, outcome in outcomes]
    assert found == [(number, number) for number in range(12)]
    assert watch.most <= ahead


def test_two_tasks_run_concurrently() -> None:
    both = threading.Barrier(2, timeout=30)
    work = [Task(number, both.wait) for number in range(2)]
    with closing(in_order(work, 2)) as outcomes:
        assert {outcome.result() for _, outcome in outcomes} == {0, 1}


def test_an_exclusive_task_runs_alone() -> None:
    watch = Watch()
    with closing(in_order(tasks(watch, 9, alone=(0, 4, 5)), 3)) as outcomes:
        assert [outcome.result() for _, outcome in outcomes] == list(range(9))
    assert watch.beside_lone == 1


def test_an_error_is_raised_in_order_and_pending_tasks_are_dropped() -> None:
    watch = Watch()

    def fail() -> int:
        raise KeyError("third")

    def some() -> Iterator[Task[int, int]]:
        yield from tasks(watch, 2)
        yield Task(2, fail)
        yield from tasks(watch, 50)

    seen = []
    with (
        pytest.raises(KeyError, match="third"),
        closing(in_order(some(), 2)) as outcomes,
    ):
        for label, outcome in outcomes:
            outcome.result()
            seen.append(label)
    assert seen == [0, 1]
    assert watch.begun <= 4
    assert watch.running == 0


def test_large_items_are_processed_in_pairs() -> None:
    watch = Watch()
    work = [Task(number, partial(watch.work, number), size=3) for number in range(8)]
    with closing(in_order(work, 4, room=6)) as outcomes:
        assert [outcome.result() for _, outcome in outcomes] == list(range(8))
    assert watch.most == 2
