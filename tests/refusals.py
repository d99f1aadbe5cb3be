"""How errors that a user can cause are checked: by type, fields and values, not by wording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from bigkingxxl.errors import BigKingXXLError

# Two plain words, one after the other: a sentence.
WORDING = re.compile(r"(?<![\w./'-])[A-Za-z]?[a-z]+,? [a-z]{2,}(?![\w./'=-])")


@contextmanager
def refused(
    kind: type[BigKingXXLError], *values: object, **fields: Any
) -> Iterator[pytest.ExceptionInfo[BigKingXXLError]]:
    """What is inside raises an error of this kind, in one sentence.

    Args:
        values: numbers, names and options that the sentence must hold.
        fields: what the error's fields hold, see `holds`.
    """
    with pytest.raises(kind) as caught:
        yield caught
    check(caught.value, *values, **fields)


def check(error: BaseException | None, *values: object, **fields: Any) -> None:
    """See `refused`."""
    assert isinstance(error, BigKingXXLError)
    sentence = str(error)
    assert sentence.strip()
    assert "\n" not in sentence
    for name, wanted in fields.items():
        assert holds(getattr(error, name), wanted), f"{name}: {getattr(error, name)!r}, {wanted!r}"
    names_file(sentence, fields.get("file"))
    names_values(sentence, *values)


def holds(actual: object, wanted: object) -> bool:
    """True where a field is as wanted: equal, written the same, or a choice that holds it.

    A file given by its name alone may be in any folder.
    """
    if isinstance(actual, Path) and isinstance(wanted, str) and "/" not in wanted:
        return actual.name == wanted
    is_among = isinstance(actual, tuple) and not isinstance(wanted, tuple) and wanted in actual
    return actual == wanted or str(actual) == str(wanted) or is_among


def names_file(sentence: str, file: Path | str | None) -> None:
    """The sentence names the file."""
    assert file is None or Path(file).name in sentence, sentence


def names_values(sentence: str, *values: object) -> None:
    """The sentence holds the values; a value is a name, a number or an option and no wording."""
    for value in values:
        assert not WORDING.search(str(value)), f"wording: {value}"
        assert str(value) in sentence, f"{value} in {sentence}"


def refused_by(result: Result, *values: object, kind: type = BigKingXXLError, **fields: Any) -> str:
    """The sentence of a command that ended with exit code 2 and an error of this kind.

    It is all that stands on stderr: one line, without a traceback.
    """
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    error = error_of(result)
    assert isinstance(error, kind)
    for name, wanted in fields.items():
        assert holds(getattr(error, name), wanted), f"{name}: {getattr(error, name)!r}, {wanted!r}"
    names_file(result.stderr, fields.get("file"))
    names_values(result.stderr, *values)
    return result.stderr


def error_of(result: Result) -> BigKingXXLError | None:
    """The error that ended a command of `CliRunner`, where it was a user's."""
    error: BaseException | None = result.exception
    while error is not None and not isinstance(error, BigKingXXLError):
        error = error.__context__
    return error


def numbers_of(text: str) -> list[float]:
    """The numbers in a text, in order: '2,000 cells in 3 images' holds 2000 and 3."""
    found = re.findall(r"(?<![\w./-])[-+]?\d[\d,]*(?:\.\d+)?(?!\w)", text)
    return [float(each.replace(",", "")) for each in found]
