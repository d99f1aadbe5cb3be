"""Test-time augmentation: the views of an image that are looked at, and whose results are averaged.

One setting for every method. Dense methods average the maps of all views and decode once; what
detectors see in each view is moved back and fused instance by instance (`inference.fusion`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator

from bigkingxxl.errors import InputError
from bigkingxxl.geometry import FLIPS, SYMMETRIES, Symmetry

Augmentation = Literal["mirror", "flips", "turns", "scales"]
AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)
NONE = "none"
# That 'scales' looks at, relative to the model's own scale. Their logarithms add up to 0, so that
# the mean of maps of logarithmic lengths is as of one scale.
ZOOMS = (1.0, 0.8, 1.25)
EARLIER = {1: (), 2: ("mirror",), 4: ("flips",)}  # what a number of flips stood for
MIRROR = FLIPS[:2]
TURNS = tuple(Symmetry(turns) for turns in range(4))


def augmentations(value: Any) -> tuple[str, ...]:
    """The augmentations of a text such as 'flips,scales', of 'none', or of a list of names.

    They come back in one order, each once.

    Raises:
        ValueError: one is unknown, or 'none' stands beside another.
    """
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Iterable) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"expected some of {', '.join(AUGMENTATIONS)}, or {NONE}")
    names = {name.strip() for name in value} - {""}
    if NONE in names and len(names) > 1:
        raise ValueError(f"'{NONE}' stands alone: leave it out, or the others")
    for name in sorted(names - {NONE}):
        if name not in AUGMENTATIONS:
            raise ValueError(f"'{name}' is unknown, expected {', '.join(AUGMENTATIONS)} or {NONE}")
    return tuple(name for name in AUGMENTATIONS if name in names)


def asked_augmentations(value: Any, where: str = "tta") -> tuple[str, ...]:
    """The augmentations that a user names; see `augmentations`.

    Raises:
        InputError: it says `where`.
    """
    try:
        return augmentations(value)
    except ValueError as error:
        raise InputError(f"{where} is {value!r}: {error}") from error


Augmentations = Annotated[
    tuple[Augmentation, ...],
    BeforeValidator(augmentations, json_schema_input_type=str | list[Augmentation]),
]


def symmetries(names: Iterable[str]) -> tuple[Symmetry, ...]:
    """The flips and turns under which an image is looked at, the image as it is first.

    'mirror' adds the image with left and right exchanged, 'flips' all four flips, 'turns' the
    quarter turns; turns with either of the others are all eight symmetries of the square.
    """
    names = set(names)
    if "turns" in names:
        return SYMMETRIES if names & {"mirror", "flips"} else TURNS
    return FLIPS if "flips" in names else MIRROR if "mirror" in names else FLIPS[:1]


def zooms(names: Iterable[str]) -> tuple[float, ...]:
    """How many times larger than usual an image is looked at, 1 first."""
    return ZOOMS if "scales" in set(names) else ZOOMS[:1]


def view_count(names: Iterable[str]) -> int:
    """How many times a network runs instead of once."""
    names = tuple(names)
    return len(symmetries(names)) * len(zooms(names))


def as_text(names: Iterable[str]) -> str:
    """The augmentations as they are written on the command line."""
    return ",".join(names) or NONE
