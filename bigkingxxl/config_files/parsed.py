"""The common result of all syntaxes: plain values, and the line of each key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Path = tuple[str | int, ...]  # keys of mappings and indices of lists, outermost first


class Place(NamedTuple):
    """The origin of a value: the name of a file or an option, and a line counted from 1."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        """Format the origin as the beginning of an error, such as 'mine.toml, line 3'."""
        return self.file if self.line is None else f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class Parsed:
    """The values of a config text.

    Attributes:
        values: Mappings, lists, text, numbers, booleans and None.
        lines: The line of the key of each value, by its path; some syntaxes do not provide all.
    """

    values: dict[str, Any]
    lines: Mapping[Path, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """The values of a config file and of those that it extends.

    Attributes:
        values: Plain mappings, lists, text, numbers, booleans and None.
        places: The file and line where each value was set, by its path.
    """

    values: dict[str, Any]
    places: dict[Path, Place] = field(default_factory=dict)


class ConfigSyntaxError(ValueError):
    """A text is not a config; holds what is wrong and the line, if known."""

    def __init__(self, what: str, line: int | None = None, key: str | None = None) -> None:
        super().__init__(what)
        self.line, self.key = line, key


class NeedsCodeError(ConfigSyntaxError):
    """A Python text must be executed to determine its values."""


def dotted(path: Path) -> str:
    """Format a path such as 'training.epochs'."""
    return ".".join(map(str, path))


def nearest_place(places: Mapping[Path, Place], path: Path) -> Place | None:
    """Return the origin of a value, or of the nearest value that contains it."""
    return next((places[part] for part in shorter(path) if part in places), None)


def shorter(path: Path) -> Iterator[Path]:
    """Yield a path and its prefixes, innermost first."""
    return (path[:length] for length in range(len(path), 0, -1))
