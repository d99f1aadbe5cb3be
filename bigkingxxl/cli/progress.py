"""Progress of long operations: a bar on a terminal, else a line at intervals."""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from bigkingxxl.data.progress_reports import Label, Total, Track
from bigkingxxl.errors import Interrupted

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
SECONDS_BETWEEN_LINES, SECONDS_BETWEEN_LINES_OF_LONG = 10.0, 60.0
LONG = 120.0  # seconds
INSTANT = 0.05  # seconds; items that end sooner at the start were done before
RECENT, FEWEST_MARKS = 60.0, 8  # seconds, or so many marks, that determine the rate
BETWEEN_MARKS = 0.5  # seconds
GOES_ON = "run again to continue"
_bars = list["Progress"]()  # the bars that are shown now, in the thread of their work


@contextmanager
def resumable() -> Iterator[None]:
    """Report on interruption that the work can be resumed.

    Raises:
        Interrupted: Ctrl-C or a signal interrupted the work.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        number = stop.signum if isinstance(stop, Interrupted) else signal.SIGINT
        raise Interrupted(number, GOES_ON) from None


def track(
    items: Iterable[T],
    total: Total = None,
    label: Label = "working",
    quiet: bool = False,
) -> Iterator[T]:
    """Yield the items one after the other while stderr shows progress, rate and remaining time.

    A terminal shows a bar; nested operations get a line of their own below it. A log gets a plain
    line every ten seconds, after two minutes every minute, and one at the end. An item counts as
    done when the next one is requested, so that the count is correct after an error.

    Args:
        items: The items.
        total: Their number, or a function that returns it, which is called again for each item; by
            default `len(items)` if possible.
        label: What is being done, in a word or two, or a function that returns it.
        quiet: Whether to show nothing.
    """
    if quiet:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    show = _bar if sys.stderr.isatty() else _lines
    if sys.stderr.isatty() and _bars:
        yield from _further(_bars[-1], items, total, label)
        return
    yield from show(items, total, label)


def tracker(quiet: bool) -> Track:
    """Return `track` in the form that functions of the library take."""
    return lambda items, total, label: track(items, total, label, quiet)


def _further(bar: Progress, items: Iterable[T], total: Total, label: Label) -> Iterator[T]:
    """Add a line below an existing bar for the duration of a nested operation."""
    task = bar.add_task(_text(label), total=_now(total))
    try:
        for item in items:
            yield item
            bar.update(task, advance=1, total=_now(total), description=_text(label))
    finally:
        bar.remove_task(task)


def _bar(items: Iterable[T], total: Total, label: Label) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(rate(task.finished_speed or task.speed or 0.0))

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(_text(label), total=_now(total))
        _bars.append(progress)
        try:
            for item in items:
                yield item
                progress.update(task, advance=1, total=_now(total), description=_text(label))
        finally:
            _bars.remove(progress)


def _lines(items: Iterable[T], total: Total, label: Label) -> Iterator[T]:
    began = shown = time.monotonic()
    done, pace = 0, _Pace(began)
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        pace.note(now, done)
        if now - shown >= _between(now - began) and done != _now(total):
            print(_line(label, done, total, pace.since, now), file=sys.stderr, flush=True)
            shown = now
    print(_end(label, done, total, time.monotonic() - began), file=sys.stderr, flush=True)


class _Pace:
    """The recent times and counts from which a rate is computed.

    Items that an earlier run did take hardly any time, and say nothing about the others.
    """

    def __init__(self, began: float) -> None:
        self._last = began
        self._marks = deque([(began, 0)])

    def note(self, now: float, done: int) -> None:
        """Note that one more item is done."""
        if len(self._marks) == 1 and self.since[1] == done - 1 and now - self._last < INSTANT:
            self._marks[0] = (now, done)
        elif now - self._marks[-1][0] >= BETWEEN_MARKS:
            self._marks.append((now, done))
        while len(self._marks) > FEWEST_MARKS and self._marks[1][0] < now - RECENT:
            self._marks.popleft()
        self._last = now

    @property
    def since(self) -> tuple[float, int]:
        """The time from which the rate counts, and the number of items that were done then."""
        return self._marks[0]


def _between(seconds: float) -> float:
    """Return the seconds between two lines after a number of seconds."""
    return SECONDS_BETWEEN_LINES if seconds <= LONG else SECONDS_BETWEEN_LINES_OF_LONG


def _now(total: Total) -> int | None:
    """Return the number of items, as far as it is known now."""
    return total() if callable(total) else total


def _text(label: Label) -> str:
    """Return what is being done, as far as it is known now."""
    return label() if callable(label) else label


def _count(label: Label, done: int, total: Total) -> str:
    number = _now(total)
    return f"{_text(label)}: {done}" if number is None else f"{_text(label)}: {done}/{number}"


def _line(label: Label, done: int, total: Total, since: tuple[float, int], now: float) -> str:
    """Return a line on unfinished work, whose rate is that since a time and a count."""
    number = _now(total)
    speed = max(done - since[1], 1) / max(now - since[0], 1e-9)
    left = "" if number is None or number < done else f", {clock((number - done) / speed)} left"
    return f"{_count(label, done, total)}, {rate(speed)}{left}"


def _end(label: Label, done: int, total: Total, seconds: float) -> str:
    """Return the last line of a log."""
    speed = done / max(seconds, 1e-9)
    return f"{_count(label, done, total)}, {rate(speed)}, {clock(seconds)} in all"


def rate(per_second: float) -> str:
    """Format a rate: '12.3/s', or '4.5 s each' below one per second."""
    if per_second <= 0:
        return "-/s"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{1 / per_second:.1f} s each"


def clock(seconds: float) -> str:
    """Format a duration as '0:42' or '1:02:03'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
