"""Errors a user can cause: one clear sentence each (what, where, what was expected)."""

from __future__ import annotations

import signal
from pathlib import Path


class BigKingXXLError(Exception):
    """Base of every error that a user can cause; the command line prints it and exits 2.

    The sentence is for people and may be reworded. Programs and tests read the attributes, which
    are None where the sentence speaks of no such thing.

    Attributes:
        file: the file or folder.
        line: its line, counted from 1.
        key: the setting, column, option or name that is wrong.
        found: what stands there.
        expected: what may stand there: a value, a type or a tuple of choices.
        did_you_mean: the nearest name that would do.
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


class InputError(BigKingXXLError):
    """An argument, file or folder that cannot be used as given."""


class FormatError(InputError):
    """A file whose contents break the rules of its format."""


class ImageError(InputError):
    """An image that cannot be read: missing, truncated, empty, too large or no image at all."""


class SettingsError(InputError):
    """A setting with an unknown name or an impossible value."""


class ModelError(InputError):
    """A model file that is missing, corrupt, truncated or not ours."""


class MissingExtraError(InputError):
    """A feature whose optional dependencies are not installed."""


class OutputError(BigKingXXLError):
    """A result that cannot be written: no space, no permission, a name that is taken."""


class Interrupted(KeyboardInterrupt):
    """Ended by a signal; the command line prints it and exits with 128 and the signal's number.

    Args:
        signum: the signal; advice: what to type to go on.
    """

    def __init__(self, signum: int = signal.SIGINT, advice: str = "") -> None:
        super().__init__(f"interrupted: {advice}" if advice else "interrupted")
        self.signum, self.advice = signum, advice

    @property
    def exit_code(self) -> int:
        """As shells report it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


def reason_of(error: Exception, path: Path) -> str:
    """What went wrong with an image, in a sentence that names it."""
    words = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        words = "there is not enough memory for it"
    elif not isinstance(error, BigKingXXLError):
        words = f"an unexpected error, {type(error).__name__}: {words or 'no message'}"
    return words if str(path) in words else f"{path}: {words}"
