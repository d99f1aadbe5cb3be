"""Errors a user can cause: one clear sentence each (what, where, what was expected)."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any


class BigKingXXLError(Exception):
    """Base class of errors that a user can cause; the command line prints the message and exits 2.

    The message is for people and may be reworded. Programs and tests should read the attributes,
    which are None where they do not apply.

    Attributes:
        file: The file or folder.
        line: The line in the file, counted from 1.
        key: The setting, column, option or name that is wrong.
        found: The value that was found.
        expected: The values that are accepted: a value, a type or a tuple of choices.
        did_you_mean: The nearest accepted name.
    """

    def __init__(
        self,
        sentence: str = "",
        *,
        file: Path | str | None = None,
        line: int | None = None,
        key: str | None = None,
        found: object = None,
        expected: object = None,
        did_you_mean: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.file = None if file is None else Path(file)
        self.line, self.key = line, key
        self.found, self.expected, self.did_you_mean = found, expected, did_you_mean

    def details(self) -> dict[str, Any]:
        """Return the fields except file and line, for an error that reports another location."""
        names = ("key", "found", "expected", "did_you_mean")
        return {name: getattr(self, name) for name in names}


class InputError(BigKingXXLError):
    """An argument, file or folder cannot be used."""


class FormatError(InputError):
    """The contents of a file violate its format."""


class ImageError(InputError):
    """An image cannot be read: it is missing, truncated, empty, too large or not an image."""


class SettingsError(InputError):
    """A setting has an unknown name or an impossible value."""


class ModelError(InputError):
    """A model file is missing, damaged, truncated or not one of this package."""


class MissingExtraError(InputError):
    """A feature needs an optional dependency that is not installed."""


class OutputError(BigKingXXLError):
    """A result cannot be written: no space, no permission, or the name is taken."""


class Interrupted(KeyboardInterrupt):
    """The program was ended by a signal; the command line exits with 128 plus the signal's number.

    Args:
        signum: The number of the signal.
        advice: What to type to continue.
    """

    def __init__(self, signum: int = signal.SIGINT, advice: str = "") -> None:
        super().__init__(f"interrupted: {advice}" if advice else "interrupted")
        self.signum, self.advice = signum, advice

    @property
    def exit_code(self) -> int:
        """The exit code that shells report: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


def reason_of(error: Exception, path: Path) -> str:
    """Return a sentence that names the image and says what went wrong with it."""
    words = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        words = "there is not enough memory for it"
    elif not isinstance(error, BigKingXXLError):
        words = f"an unexpected error, {type(error).__name__}: {words or 'no message'}"
    return words if str(path) in words else f"{path}: {words}"
