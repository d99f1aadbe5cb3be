"""The registry of methods, which are imported when needed; a new method adds one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bigkingxxl.errors import SettingsError
from bigkingxxl.methods.base import Method
from bigkingxxl.settings import checked, closest, nearest

METHODS = {
    "cascade_rcnn": "bigkingxxl.methods.cascade_rcnn:CascadeRcnn",
    "cellpose": "bigkingxxl.methods.cellpose:Cellpose",
    "compact": "bigkingxxl.methods.compact:Compact",
    "mask_rcnn": "bigkingxxl.methods.mask_rcnn:MaskRcnn",
    "unetr": "bigkingxxl.methods.unetr:Unetr",
}


def method_class(name: str) -> type[Method]:
    """Return the class of a method.

    Raises:
        SettingsError: The name is unknown.
    """
    if name not in METHODS:
        raise SettingsError(
            f"no method '{name}'{nearest(name, METHODS)}", key="method", found=name,
            expected=tuple(METHODS), did_you_mean=closest(name, METHODS),
        )  # fmt: skip
    module, _, kind = METHODS[name].partition(":")
    cls: type[Method] = getattr(import_module(module), kind)
    return cls


def make_method(name: str, settings: dict[str, Any], type_names: tuple[str, ...]) -> Method:
    """Create a method with validated settings."""
    cls = method_class(name)
    return cls(
        checked(cls.Settings, settings, where=f"settings of the method '{name}'"), type_names
    )
