"""The formats of exports, and what to install for those that cannot be written yet."""

from __future__ import annotations

from importlib.util import find_spec

from bigkingxxl.extras import install
from bigkingxxl.viewer import contract as wire

NEEDED = {"zarr": "zarr", "zarr-0.5": "zarr"}  # the package that writes a format


def export_formats() -> tuple[wire.ExportFormat, ...]:
    """Return all formats, and what to install for those that cannot be written yet."""
    from bigkingxxl.runs.outputs import FORMATS

    return tuple(wire.ExportFormat(name=name, install=what_is_missing(name)) for name in FORMATS)


def what_is_missing(name: str) -> str:
    """Return a sentence on what to install for a format, or "" if nothing is missing."""
    package = NEEDED.get(name)
    if package is None or find_spec(package) is not None:
        return ""
    return f"OME-Zarr needs the extra 'zarr': {install('zarr')}"
