"""Config files that are Python programs, which run only with `--allow-code`."""

from __future__ import annotations

import runpy
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel

from bigkingxxl.config_files.parsed import ConfigSyntaxError, Parsed


def run_python(path: Path) -> Parsed:
    """Execute a module and return its public names that are plain values or settings.

    Raises:
        ConfigSyntaxError: It fails, or exits.
    """
    try:
        values = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        what = " ".join(str(error).split()) or "no message"
        raise ConfigSyntaxError(f"running it failed ({type(error).__name__}: {what})") from error
    kinds = (str, int, float, bool, list, tuple, dict, BaseModel, PurePath, type(None))
    return Parsed(
        {
            key: _plain(value)
            for key, value in values.items()
            if not key.startswith("_") and isinstance(value, kinds)
        }
    )


def _plain(value: Any) -> Any:
    """Convert settings to mappings and paths to text, at any depth."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, PurePath) else value
