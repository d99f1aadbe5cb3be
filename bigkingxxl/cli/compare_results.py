"""Options of `bigkingxxl compare` about results of other tools: for all of them, or for one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bigkingxxl.errors import InputError

OF = ":"  # between the name of a method and what is said of it


def by_method(texts: Sequence[str], methods: Collection[str], option: str) -> dict[str, str]:
    """Return what is said of each method: 'NAME:TEXT' is about one, 'TEXT' about all others.

    Args:
        texts: The values of the option.
        methods: The names of the methods.
        option: The option, for errors.

    Raises:
        InputError: Two texts are about the same method.
    """
    found: dict[str, str] = {}
    general: str | None = None
    for text in texts:
        name, colon, rest = text.partition(OF)
        is_named = bool(colon) and name in methods
        if name in found if is_named else general is not None:
            about = f"'{name}'" if is_named else "every method"
            raise InputError(
                f"{option} is given twice for {about}: give it once, or once for each method, as "
                f"in {option} NAME{OF}...",
                key=option,
                found=text,
            )
        if is_named:
            found[name] = rest
        else:
            general = text
    if general is None:
        return found
    return {name: found.get(name, general) for name in methods}


def numberings(texts: Sequence[str], methods: Collection[str]) -> dict[str, Path]:
    """Return the COCO file of each method whose results need one; see `by_method`."""
    return {name: Path(text) for name, text in by_method(texts, methods, "--coco-file").items()}


def categories_of(
    texts: Sequence[str], methods: Collection[str]
) -> dict[str, Mapping[int, str] | None]:
    """Return the types that category ids mean in the results of each method; see `by_method`.

    Raises:
        InputError: A text is written otherwise than '0=astro,1=cort', or names an id twice.
    """
    said = by_method(texts, methods, "--categories")
    return {name: _named_categories(text, methods) for name, text in said.items()}


def _named_categories(text: str, methods: Collection[str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in text.split(","):
        number, _, name = (each.strip() for each in part.partition("="))
        if not number.isdecimal() or not name or int(number) in found:
            raise InputError(
                f"--categories is '{text}', expected each id once and its type, as in "
                f"0=astro,1=cort, or with the name of a method, {next(iter(methods))}{OF}0=astro "
                f"(methods: {', '.join(methods)})",
                key="--categories",
                found=text,
            )
        found[int(number)] = name
    return found
