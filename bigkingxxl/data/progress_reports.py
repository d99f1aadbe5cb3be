"""Progress reports of long operations, independent of how they are displayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

# The number of items, or a function that returns it if it becomes known later.
Total = int | Callable[[], int] | None
# What is being done, or a function that returns it if it becomes known later.
Label = str | Callable[[], str]
# Takes (items, their number, a label) and yields the same items.
Track = Callable[[Iterable[Any], Total, Label], Iterable[Any]]


def untracked(items: Iterable[Any], total: Total, label: Label) -> Iterable[Any]:  # noqa: ARG001
    """Return the items without reporting progress."""
    return items
