"""The values that a config file may contain, with limits on their number, size and depth."""

from __future__ import annotations

from typing import Any

from bigkingxxl.config_files.parsed import ConfigSyntaxError, Path, dotted

MOST_BYTES = 2**18
MOST_VALUES = 100_000
DEEPEST = 20
LARGEST_WHOLE = 2**64


def check_plain(values: Any) -> dict[str, Any]:
    """Check the values and return them unchanged.

    Raises:
        ConfigSyntaxError: The top level is not a mapping, a key is not text, a value has another
            type, a number is too large, or there are too many or too deeply nested values.
    """
    if not isinstance(values, dict):
        raise ConfigSyntaxError("expected a mapping of keys to values")
    count = 0
    todo: list[tuple[Path, Any]] = [((), values)]
    while todo:
        path, value = todo.pop()
        count += 1
        if count > MOST_VALUES:
            raise ConfigSyntaxError(f"it contains more than {MOST_VALUES:,} values")
        if len(path) > DEEPEST:
            raise ConfigSyntaxError(
                f"the values of '{path[0]}' are nested too deeply (more than {DEEPEST} levels)"
            )
        todo.extend(_inside(path, value))
    return values


def _inside(path: Path, value: Any) -> list[tuple[Path, Any]]:
    """Return the items of a mapping or list; none for other values."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                where = f" in '{dotted(path)}'" if path else ""
                raise ConfigSyntaxError(
                    f"the key {_shown(key)}{where} is not text: put it in quotes"
                )
        return [((*path, key), each) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [((*path, index), each) for index, each in enumerate(value)]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_WHOLE:
        raise ConfigSyntaxError(f"'{dotted(path)}' is a number of more than 19 digits")
    if value is not None and not isinstance(value, str | int | float | bool):
        raise ConfigSyntaxError(
            f"'{dotted(path)}' is a {type(value).__name__}, expected text, a number, true or "
            "false, a list or a mapping: put text in quotes"
        )
    return []


def _shown(key: object) -> str:
    huge = isinstance(key, int) and abs(key) > LARGEST_WHOLE
    return "(a huge number)" if huge else repr(key)[:80]


def copied(value: Any) -> Any:
    """Copy a plain value so that no part is shared, as YAML aliases would be."""
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [copied(each) for each in value]
    return value
