"""The registry of representations, which are imported when needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bigkingxxl.decoding.base import Representation
from bigkingxxl.errors import SettingsError
from bigkingxxl.settings import checked, nearest

REPRESENTATIONS = {
    "components": "bigkingxxl.decoding.components:Components",
    "flows": "bigkingxxl.decoding.flows:Flows",
    "watershed": "bigkingxxl.decoding.watershed:Watershed",
}


def make_representation(
    name: str, type_names: tuple[str, ...], settings: dict[str, Any] | None = None
) -> Representation:
    """Create the representation with this name.

    Raises:
        SettingsError: The name is unknown, or the settings do not fit.
    """
    if name not in REPRESENTATIONS:
        raise SettingsError(
            f"no representation '{name}'{nearest(name, REPRESENTATIONS)}",
            key="representation",
            found=name,
            expected=tuple(REPRESENTATIONS),
        )
    module, _, kind = REPRESENTATIONS[name].partition(":")
    cls: type[Representation] = getattr(import_module(module), kind)
    where = f"settings of the representation '{name}'"
    return cls(type_names, checked(cls.Settings, settings or {}, where))
