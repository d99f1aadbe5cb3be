"""`key=value` assignments of the command line, which override the values of a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bigkingxxl.config_files.parsed import ConfigSyntaxError, Place
from bigkingxxl.config_files.parsed import Path as KeyPath
from bigkingxxl.config_files.plain import check_plain, copied
from bigkingxxl.config_files.yaml_text import yaml_value
from bigkingxxl.errors import SettingsError


def override(
    values: Mapping[str, Any],
    assignments: Iterable[str],
    places: dict[KeyPath, Place] | None = None,
) -> dict[str, Any]:
    """Apply `key=value` assignments; dots separate nested keys, and values are YAML.

    Args:
        values: The values.
        assignments: The assignments.
        places: Updated with the origin of the assigned values.

    Raises:
        SettingsError: An assignment has no '=', or its value cannot be that of a setting.
    """
    result: dict[str, Any] = copied(dict(values))
    for assignment in assignments:
        key, found, text = assignment.partition("=")
        if not found or not key.strip():
            raise SettingsError(f"--set {assignment}: expected key=value", key="--set",
                                found=assignment, expected="key=value")  # fmt: skip
        path = tuple(key.strip().split("."))
        place = result
        for part in path[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise SettingsError(f"--set {assignment}: '{part}' contains a value, not settings",
                                    key=key.strip(), found=assignment)  # fmt: skip
        place[path[-1]] = _value_of(text, key.strip())
        if places is not None:
            for each in [each for each in places if each[: len(path)] == path]:
                del places[each]
            places[path] = Place(f"--set {key.strip()}")
    return result


def _value_of(text: str, key: str) -> Any:
    try:
        value = yaml_value(text)
    except ConfigSyntaxError as error:
        if isinstance(error.__cause__, RecursionError) or error.__cause__ is None:
            raise SettingsError(f"--set {key}: {error}", key=key) from error
        return text
    # YAML 1.1 reads 1e-3 as text, but the user means a number.
    if isinstance(value, str) and _is_number(value):
        return float(value)
    if not (value is None or isinstance(value, str | int | float | list | dict)):
        return text  # a date
    try:
        check_plain({key: value})
    except ConfigSyntaxError as error:
        raise SettingsError(f"--set {key}: {error}", key=key) from error
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in ("nan", "inf", "-inf", "infinity")
