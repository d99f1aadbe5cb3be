"""Names and sentences where they are shown: on a terminal, in a table."""

from __future__ import annotations

import re

# C0 and C1, also as lone bytes; marks that turn the direction of writing; line separators.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\udc80-\udc9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
FORMULA = re.compile(r"'*[=+\-@\t\r]")


def printable(text: str) -> str:
    """The text with control characters written out as escapes.

    A file name may hold anything: what a terminal would obey is shown instead. Other bytes that are
    no UTF-8 stay as they are.
    """
    return CONTROL.sub(lambda match: _escaped(match[0]), text)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def table_text(text: str) -> str:
    """A text as a cell of a table: a spreadsheet program does not take it for a formula.

    What begins with `=`, `+`, `-`, `@`, a tab or a line end, and is no number, gets an apostrophe
    before it. `from_table_text` takes it away.
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def from_table_text(text: str) -> str:
    """What `table_text` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def counted(count: int, what: str, does: str = "", do: str = "") -> str:
    """A number and its noun: '1 image', '2,000 images'; and a verb: '1 image is', '2 images are'.

    Args:
        what: the noun of one; does, do: the verb of one and of many.
    """
    noun, verb = (what, does) if count == 1 else (f"{what}s", do)
    return f"{count:,} {noun}" + (f" {verb}" if verb else "")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.strip() == text
