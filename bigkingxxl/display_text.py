"""Text for display, on a terminal or in a table."""

from __future__ import annotations

import codecs
import os
import re
import sys
from io import TextIOWrapper

# Control characters (C0 and C1, also as lone bytes), bidirectional marks and line separators.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\udc80-\udc9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
STREAMS = ("stdin", "stdout", "stderr")
ANY_TEXT = "bigkingxxl"  # our way to print what an encoding lacks
FORMULA = re.compile(r"'*[=+\-@\t\r]")


def make_printing_safe() -> None:
    """Make stdout and stderr accept every text, whatever their encoding is.

    Bytes of file names that are not valid text are printed as they are. Characters that the
    encoding lacks (on Windows, where the output goes to a file, most alphabets) are escaped.
    """
    codecs.register_error(ANY_TEXT, _any_text)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ANY_TEXT)


def occupy_closed_streams() -> None:
    """Send what goes to a closed stdin, stdout or stderr nowhere.

    Otherwise the next file that is opened would get the number of the stream, and messages of
    libraries would be written into it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < len(STREAMS):
        os.set_inheritable(number, True)
        if getattr(sys, STREAMS[number]) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, STREAMS[number], os.fdopen(number, mode, encoding="utf-8", closefd=False))
    os.close(number)


def _any_text(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    how = "surrogateescape" if "\udc80" <= letter <= "\udcff" else "backslashreplace"
    return letter.encode("ascii", how), error.start + 1


def printable(text: str) -> str:
    """Escape control characters, so that a file name cannot control the terminal.

    Other bytes that are not valid UTF-8 are left unchanged.
    """
    return CONTROL.sub(lambda match: _escaped(match[0]), text)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def table_text(text: str) -> str:
    """Format text for a table cell, so that a spreadsheet program does not run it as a formula.

    Text that begins with `=`, `+`, `-`, `@`, a tab or a line break and is not a number gets a
    leading apostrophe, which `from_table_text` removes.
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def from_table_text(text: str) -> str:
    """Undo `table_text`."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def counted(count: int, what: str, does: str = "", do: str = "") -> str:
    """Format a number with its noun, and optionally a verb: '1 image is', '2,000 images are'.

    Args:
        count: The number.
        what: The singular noun.
        does: The verb for one.
        do: The verb for several.
    """
    noun, verb = (what, does) if count == 1 else (f"{what}s", do)
    return f"{count:,} {noun}" + (f" {verb}" if verb else "")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.strip() == text
