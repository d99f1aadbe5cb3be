"""Typed settings: one base class, one loader (Python, YAML, JSON), overrides by `key=value`."""

from __future__ import annotations

import copy
import difflib
import json
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from bigkingxxl.errors import SettingsError


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values are checked on assignment."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, frozen=True)

    def changed(self, **values: Any) -> Self:
        """A checked copy with some values replaced."""
        return checked(type(self), {**self.model_dump(), **values})


S = TypeVar("S", bound=Settings)


def checked(kind: type[S], values: Mapping[str, Any], where: str = "settings") -> S:
    """Settings of a kind from plain values.

    Raises:
        SettingsError: an unknown key (the nearest valid one is named) or an impossible value.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise SettingsError(f"{where}: {_sentence(kind, error)}") from error


def _sentence(kind: type[BaseModel], error: ValidationError) -> str:
    # A misspelt key is also a missing one: the misspelling says more.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"the key '{key}' is missing"
    if first["type"] != "extra_forbidden":
        message = first["msg"].removeprefix("Value error, ")
        return f"'{key}' is {_short(first['input'])}: {message[:1].lower()}{message[1:]}"
    known = _known_keys(kind, first["loc"][:-1])
    return f"there is no key '{key}'{nearest(str(first['loc'][-1]), known)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _known_keys(kind: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    kinds = [kind]
    for part in path:
        fields = [each.model_fields[part] for each in kinds if part in each.model_fields]
        # A part that names no field is the key of a mapping, a place in a list or a union's choice.
        if fields:
            kinds = [inner for field in fields for inner in _models_in(field.annotation)]
    return sorted({name for each in kinds for name in each.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings that a type hint such as `dict[str, Knobs] | None` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def nearest(name: str, known: Iterable[str]) -> str:
    """', did you mean ...?' for the nearest of the known names, or the list of them."""
    known = list(known)
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if match:
        return f", did you mean '{match[0]}'?"
    return f"; known are {', '.join(known)}" if known else ""


def read_values(path: Path) -> dict[str, Any]:
    """The plain values of a config file.

    A Python file is a module of the user's own: its public names that are plain values or
    settings are the keys. YAML and JSON hold a mapping.

    Raises:
        SettingsError: no such file, another ending, or contents that cannot be read.
    """
    if not path.is_file():
        raise SettingsError(f"{path}: no such config file")
    try:
        if path.suffix == ".py":
            return _module_values(path)
        if path.suffix in (".yaml", ".yml", ".json"):
            import yaml

            text = path.read_text(encoding="utf-8")
            values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        else:
            raise SettingsError(f"{path}: a config file ends in .py, .yaml, .yml or .json")
    except SettingsError:
        raise
    except Exception as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected a mapping of keys to values")
    return values


def _module_values(path: Path) -> dict[str, Any]:
    values = runpy.run_path(str(path))
    kinds = (str, int, float, bool, list, tuple, dict, BaseModel, PurePath, type(None))
    return {
        key: _plain(value)
        for key, value in values.items()
        if not key.startswith("_") and isinstance(value, kinds)
    }


def _plain(value: Any) -> Any:
    """Settings as mappings and paths as text, at any depth."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, PurePath) else value


def override(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Values with `key=value` assignments applied; dots go deeper, values are YAML.

    Raises:
        SettingsError: an assignment without '='.
    """
    result = copy.deepcopy(dict(values))
    for assignment in assignments:
        key, found, text = assignment.partition("=")
        if not found or not key:
            raise SettingsError(f"--set {assignment}: expected key=value")
        *path, last = key.strip().split(".")
        place = result
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise SettingsError(f"--set {assignment}: '{part}' holds a value, not settings")
        place[last] = _plain_value(text)
    return result


def _plain_value(text: str) -> Any:
    import yaml

    try:
        value = yaml.safe_load(text)
        # YAML 1.1 reads 1e-3 as text; a number is what the user means.
        return float(value) if isinstance(value, str) and _is_number(value) else value
    except (yaml.YAMLError, ValueError):
        return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in ("nan", "inf", "-inf", "infinity")
