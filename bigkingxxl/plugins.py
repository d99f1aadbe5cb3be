"""What other packages add to this one, through the entry points that they declare."""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


def plugins(group: str, kind: type[T]) -> dict[str, T]:
    """The objects that installed packages offer under a group of entry points, by name.

    One that cannot be loaded, or is of another kind, is left out with a warning: a mistake of
    another package must not stop this one.

    Args:
        group: such as `bigkingxxl.image_readers`; kind: the class of the objects.
    """
    return {name: each for name, each in _loaded(group) if _is(isinstance(each, kind), name, kind)}


def plugin_classes(group: str, kind: type[T]) -> dict[str, type[T]]:
    """As `plugins`, of classes that inherit from one."""
    return {
        name: each
        for name, each in _loaded(group)
        if _is(isinstance(each, type) and issubclass(each, kind), name, kind)
    }


def _loaded(group: str) -> list[tuple[str, Any]]:
    found = []
    for point in metadata.entry_points(group=group):
        try:
            found.append((point.name, point.load()))
        except Exception as error:
            log.warning("the plugin '%s' of %s cannot be loaded: %s", point.name, group, error)
    return found


def _is(fits: bool, name: str, kind: type[Any]) -> bool:
    if not fits:
        log.warning("the plugin '%s' is left out: it is no %s", name, kind.__name__)
    return fits
