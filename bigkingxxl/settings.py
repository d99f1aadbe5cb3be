"""Base class of all settings, with errors that name the key and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Protocol, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bigkingxxl.errors import SettingsError

LARGEST_SEED = 2**32 - 1  # accepted by numpy, torch and Lightning alike
MOST_PIXELS_ALONG_A_SIDE = 2**15
MOST_CHANNELS = 2**13

Positive = Annotated[float, Field(gt=0, le=1e6)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Channels = Annotated[int, Field(ge=1, le=MOST_CHANNELS)]
Range = tuple[float, float]


def rising(values: Range) -> Range:
    """Check that a range does not decrease, and return it.

    Raises:
        ValueError: The second value is below the first.
    """
    if values[1] < values[0]:
        raise ValueError(f"expected the lower value first, found {values[0]:g} and {values[1]:g}")
    return values


class Settings(BaseModel):
    """Base class of all settings: unknown keys are refused, and assigned values are validated.

    Numbers must be finite, and integers have at most ten digits, because no setting needs more.
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
        """Return a validated copy with some values replaced."""
        return checked(type(self), {**self.model_dump(), **values})


S = TypeVar("S", bound=Settings)


Keys = tuple[str | int, ...]  # outermost first


def checked(
    kind: type[S],
    values: Mapping[str, Any],
    where: str = "settings",
    place_of: Callable[[Keys], Located | None] | None = None,
) -> S:
    """Create settings from plain values.

    Args:
        kind: The class of the settings.
        values: The values by name.
        where: How an error message begins, unless `place_of` returns a location.
        place_of: Returns where a value was set, given its keys.

    Raises:
        SettingsError: A key is unknown (the message suggests the nearest one) or a value is
            invalid.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise _error(kind, error, where, place_of) from error
    except RecursionError as error:
        raise SettingsError(f"{where}: the values are nested too deeply") from error


class Located(Protocol):
    """The location where a value was set; its string form begins an error message."""

    @property
    def file(self) -> str:
        """The name of a file or an option."""

    @property
    def line(self) -> int | None:
        """The line number, counted from 1, if known."""


def _error(
    kind: type[BaseModel],
    error: ValidationError,
    where: str,
    place_of: Callable[[Keys], Located | None] | None,
) -> SettingsError:
    # A misspelt key causes two errors; the unknown key says more than the missing one.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    keys = first["loc"]
    key = ".".join(str(part) for part in keys)
    place = place_of(keys) if place_of is not None else None
    known: list[str] = []
    if first["type"] == "extra_forbidden":
        known = _known_keys(kind, keys[:-1])
        what = f"there is no key '{key}'{nearest(str(keys[-1]), known)}"
    elif first["type"] == "missing":
        what = f"the key '{key}' is missing"
    else:
        message = first["msg"].removeprefix("Value error, ")
        if isinstance(first["input"], Mapping):  # an error about several values together
            what = f"'{key}': {message}" if key else message
        else:
            what = f"'{key}' is {_short(first['input'])}: {message[:1].lower()}{message[1:]}"
    return SettingsError(
        f"{where if place is None else place}: {what}",
        file=None if place is None else place.file, line=None if place is None else place.line,
        key=key, found=None if known or first["type"] == "missing" else first["input"],
        expected=tuple(known) or first.get("ctx") or first["type"],
        did_you_mean=closest(str(keys[-1]), known) if known else None,
    )  # fmt: skip


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _known_keys(kind: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    kinds = [kind]
    for part in path:
        fields = [each.model_fields[part] for each in kinds if part in each.model_fields]
        # A part that is not the name of a field is a key of a mapping, an index or the tag of a
        # union.
        if fields:
            kinds = [inner for field in fields for inner in _models_in(field.annotation)]
    return sorted({name for each in kinds for name in each.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the settings classes in a type hint such as `dict[str, Parameters] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ', did you mean ...?' with the nearest known name, or the list of known names."""
    known = list(known)
    match = closest(name, known)
    if match is not None:
        return f", did you mean '{match}'?"
    return f"; known are {', '.join(known)}" if known else ""


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the nearest known name, or None if none is similar."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return match[0] if match else None
