"""Typed settings: one base class, one loader (Python, YAML, JSON), overrides by `key=value`."""

from __future__ import annotations

import copy
import difflib
import json
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Annotated, Any, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bigkingxxl.errors import SettingsError

LARGEST_SEED = 2**32 - 1  # what numpy, torch and Lightning all take
MOST_PIXELS_ALONG_A_SIDE = 2**15
MOST_CHANNELS = 2**13
MOST_VALUES = 100_000  # of a YAML text with all its aliases written out

Positive = Annotated[float, Field(gt=0, le=1e6)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Channels = Annotated[int, Field(ge=1, le=MOST_CHANNELS)]
Range = tuple[float, float]


def rising(values: Range) -> Range:
    """A pair as it is.

    Raises:
        ValueError: the second is below the first.
    """
    if values[1] < values[0]:
        raise ValueError(f"expected the lower value first, found {values[0]:g} and {values[1]:g}")
    return values


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values are checked on assignment.

    No number is infinite or NaN, and no whole number has more than ten digits: nothing that is
    set counts so far.
    """

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, frozen=True, allow_inf_nan=False
    )

    @model_validator(mode="after")
    def _can_be_counted(self) -> Self:
        for name, value in self:
            if isinstance(value, int) and abs(value) > LARGEST_SEED:
                raise ValueError(f"'{name}' is {value}, expected at most {LARGEST_SEED}")
        return self

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
    except RecursionError as error:
        raise SettingsError(f"{where}: the values are nested too deeply") from error


def _sentence(kind: type[BaseModel], error: ValidationError) -> str:
    # A misspelt key is also a missing one: the misspelling says more.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"the key '{key}' is missing"
    if first["type"] != "extra_forbidden":
        message = first["msg"].removeprefix("Value error, ")
        if isinstance(first["input"], Mapping):  # said of several values together
            return f"'{key}': {message}" if key else message
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
    """The settings that a type hint such as `dict[str, Parameters] | None` speaks of."""
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
            text = path.read_text(encoding="utf-8")
            values = json.loads(text) if path.suffix == ".json" else read_yaml(text)
        else:
            raise SettingsError("a config file ends in .py, .yaml, .yml or .json")
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: its values are nested too deeply") from error
    except (Exception, SystemExit) as error:
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
        value = read_yaml(text)
        # YAML 1.1 reads 1e-3 as text; a number is what the user means.
        return float(value) if isinstance(value, str) and _is_number(value) else value
    except (yaml.YAMLError, ValueError):
        return text
    except RecursionError as error:
        raise SettingsError(f"--set ...={_short(text)}: nested too deeply") from error


def read_yaml(text: str) -> Any:
    """The plain value of a YAML text.

    Raises:
        yaml.YAMLError, ValueError: it is none.
        SettingsError: its aliases stand for more values than settings ever have, or for themselves.
        RecursionError: it is nested too deeply.
    """
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _written_out(node) > MOST_VALUES:
            raise SettingsError(
                f"the YAML {_short(text)} has more than {MOST_VALUES:,} values, aliases written out"
            )
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _written_out(node: Any) -> float:
    """How many values a YAML node holds, each alias counted as what it stands for."""
    sizes: dict[int, float] = {}

    def size(node: Any) -> float:
        if id(node) not in sizes:
            sizes[id(node)] = float("inf")  # where it holds itself
            inner = node.value if isinstance(node.value, list) else []
            # A mapping holds pairs of a key and a value.
            pairs = [each if isinstance(each, tuple) else (each,) for each in inner]
            sizes[id(node)] = 1 + sum(size(part) for pair in pairs for part in pair)
        return sizes[id(node)]

    return size(node)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in ("nan", "inf", "-inf", "infinity")
