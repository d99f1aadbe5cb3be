"""TOML, read by the standard library, which refuses duplicate keys itself."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import Any

from bigkingxxl.config_files.parsed import ConfigSyntaxError, Parsed, Path
from bigkingxxl.config_files.plain import DEEPEST

PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
KEY = rf"{PART}(?:[ \t]*\.[ \t]*{PART})*"
# The reader's memory grows with the square of the parts of a key.
TOO_DEEP = re.compile(rf"(?:{PART}[ \t]*\.[ \t]*){{{DEEPEST},}}")
HEADER = re.compile(rf"[ \t]*\[[ \t]*({KEY})[ \t]*\]")
ASSIGNMENT = re.compile(rf"[ \t]*({KEY})[ \t]*=")
LINE = re.compile(r"at line (\d+), column \d+")


def read_toml(text: str) -> Parsed:
    """Read the values of a TOML text.

    Raises:
        ConfigSyntaxError: It is not TOML, has a duplicate key, or is nested too deeply.
    """
    if deep := TOO_DEEP.search(text):
        line = text.count("\n", 0, deep.start()) + 1
        raise ConfigSyntaxError(f"its values are nested too deeply (more than {DEEPEST} levels)",
                                line)  # fmt: skip
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = LINE.search(str(error))  # otherwise it refers to the end of the text
        what = str(error).partition(" (at ")[0]
        line = int(found[1]) if found else len(text.splitlines())
        raise ConfigSyntaxError(f"it is not valid TOML ({what})", line) from error
    except RecursionError as error:
        raise ConfigSyntaxError("its values are nested too deeply") from error
    except ValueError as error:  # a number with thousands of digits
        raise ConfigSyntaxError(f"it is not valid TOML ({error})") from error
    return Parsed(values, _lines(text))


def _lines(text: str) -> dict[Path, int]:
    """Return the lines of keys, as far as they can be found without the reader."""
    if '"""' in text or "'''" in text or "[[" in text:
        return {}  # what looks like a key there may not be one
    lines: dict[Path, int] = {}
    table: Path = ()
    times: Counter[Path] = Counter()
    for number, line in enumerate(text.split("\n"), 1):
        if header := HEADER.match(line):
            table = _parts(header[1])
            path = table
        elif assignment := ASSIGNMENT.match(line):
            path = (*table, *_parts(assignment[1]))
        else:
            continue
        times[path] += 1
        lines[path] = number
    return {path: line for path, line in lines.items() if times[path] == 1}


def _parts(key: str) -> Path:
    return tuple(part.strip("\"'") for part in re.findall(PART, key))
