"""What every syntax is read into: plain values, and the line that each key stands in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Path = tuple[str | int, ...]  # keys of mappings and indices of lists, from the outside in


class Place(NamedTuple):
    """Where a value was written: a file's name, or an option, and a line, counted from 1."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        """As an error begins: 'mine.toml, line 3'."""
        return self.file if self.line is None else f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class Parsed:
    """The values of a config text.

    Attributes:
        values: mappings, lists, text, numbers, booleans and None.
        lines: of a value, by its path, the line that its key stands in; those of some syntaxes
            are not known.
    """

    values: dict[str, Any]
    lines: Mapping[Path, int] = field(default_factory=dict)


class ConfigSyntaxError(ValueError):
    """A text that is no config: what is wrong, and in which line if that is known."""

    def __init__(self, what: str, line: int | None = None, key: str | None = None) -> None:
        super().__init__(what)
        self.line, self.key = line, key


class NeedsCodeError(ConfigSyntaxError):
    """A Python text that only running it would give values for."""


def dotted(path: Path) -> str:
    """A path as people write it: 'training.epochs'."""
    return ".".join(map(str, path))


def nearest_place(places: Mapping[Path, Place], path: Path) -> Place | None:
    """The place of a value, else that of what it stands in."""
    return next((places[part] for part in shorter(path) if part in places), None)


def shorter(path: Path) -> Iterator[Path]:
    """A path, and what it leads through, from the inside out."""
    return (path[:length] for length in range(len(path), 0, -1))
