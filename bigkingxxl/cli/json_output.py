"""The answers of commands on stdout: text for people, or JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def print_json(values: Mapping[str, Any] | list[Any]) -> None:
    """Print plain values as JSON; NaN becomes null."""
    typer.echo(json.dumps(plain(values), indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """Convert to lists, mappings, text, numbers and None."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):  # a numpy object, without importing numpy
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, PurePath) else value
