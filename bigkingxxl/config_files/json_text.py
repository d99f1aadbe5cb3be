"""JSON with the line of each key, which the standard library does not provide."""

from __future__ import annotations

import json
import re
from typing import Any

from bigkingxxl.config_files.parsed import ConfigSyntaxError, Parsed, Path

TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\]:,]|\n')


def read_json(text: str) -> Parsed:
    """Read the values of a JSON text that contains an object.

    Raises:
        ConfigSyntaxError: It is not JSON or not an object, has a duplicate key, or is nested too
            deeply.
    """
    try:
        values: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigSyntaxError(f"it is not valid JSON ({error.msg})", error.lineno) from error
    except RecursionError as error:
        raise ConfigSyntaxError("its values are nested too deeply") from error
    except ValueError as error:  # a number with thousands of digits
        raise ConfigSyntaxError(f"it is not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise ConfigSyntaxError("expected a mapping of keys to values")
    return Parsed(values, _lines(text))


def _lines(text: str) -> dict[Path, int]:
    """Return the lines of the keys of a valid JSON text.

    Raises:
        ConfigSyntaxError: An object has a duplicate key.
    """
    lines: dict[Path, int] = {}
    path: list[str | int] = []  # the current key or index of each open object or list
    number, word, at = 1, "", 1
    for token in TOKEN.findall(text):
        if token == "\n":
            number += 1
        elif token in "{[":
            path.append("" if token == "{" else 0)
        elif token in "}]":
            path.pop()
        elif token == ",":
            last = path[-1]
            path[-1] = last + 1 if isinstance(last, int) else ""
        elif token == ":":
            path[-1] = json.loads(word)
            _note(lines, tuple(path), at)
        else:
            word, at = token, number
    return lines


def _note(lines: dict[Path, int], path: Path, line: int) -> None:
    if path in lines:
        where = f" in '{path[0]}'" if len(path) > 1 else ""
        raise ConfigSyntaxError(
            f"the key '{path[-1]}' occurs twice{where} (first in line {lines[path]})",
            line, str(path[-1]),
        )  # fmt: skip
    lines[path] = line
