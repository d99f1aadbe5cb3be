"""Extensions by other packages, found through the entry points that they declare."""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


def plugins(group: str, kind: type[T]) -> dict[str, T]:
    """Load the objects that installed packages register under a group of entry points.

    An object that cannot be loaded or has the wrong class is skipped with a warning, so that an
    error in another package does not stop this one.

    Args:
        group: The group, such as `bigkingxxl.image_readers`.
        kind: The class that the objects must have.

    Returns:
        The objects by name.
    """
    return {name: each for name, each in _loaded(group) if _is(isinstance(each, kind), name, kind)}


def plugin_classes(group: str, kind: type[T]) -> dict[str, type[T]]:
    """Load classes like `plugins`; each must be a subclass of `kind`."""
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
        log.warning(
            "the plugin '%s' is ignored: it is not an object of the type %s", name, kind.__name__
        )
    return fits
