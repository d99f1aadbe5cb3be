"""Test-time augmentation: predict several views of an image and average the results.

There is one setting for all methods. Dense methods average the maps of all views and decode once.
The candidates of detectors are transformed back and fused instance by instance
(`inference.fusion`).
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
# The scales of 'scales', relative to the model's own scale. Their logarithms add up to 0, so that
# averaged maps of logarithmic lengths match a single scale.
ZOOMS = (1.0, 0.8, 1.25)
EARLIER = {1: (), 2: ("mirror",), 4: ("flips",)}  # what an earlier number of flips means
MIRROR = FLIPS[:2]
TURNS = tuple(Symmetry(turns) for turns in range(4))


def augmentations(value: Any) -> tuple[str, ...]:
    """Parse augmentations: a text such as 'flips,scales' or 'none', or a list of names.

    They are returned in a fixed order without duplicates.

    Raises:
        ValueError: A name is unknown, or 'none' is combined with another one.
    """
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Iterable) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"expected one or more of {', '.join(AUGMENTATIONS)}, or {NONE}")
    names = {name.strip() for name in value} - {""}
    if NONE in names and len(names) > 1:
        raise ValueError(f"'{NONE}' cannot be combined with other names")
    for name in sorted(names - {NONE}):
        if name not in AUGMENTATIONS:
            raise ValueError(f"'{name}' is unknown, expected {', '.join(AUGMENTATIONS)} or {NONE}")
    return tuple(name for name in AUGMENTATIONS if name in names)


def asked_augmentations(value: Any, where: str = "tta") -> tuple[str, ...]:
    """Parse augmentations given by a user; see `augmentations`.

    Raises:
        InputError: They are invalid; the message begins with `where`.
    """
    try:
        return augmentations(value)
    except ValueError as error:
        raise InputError(f"{where} is {value!r}: {error}", key=where, found=value) from error


Augmentations = Annotated[
    tuple[Augmentation, ...],
    BeforeValidator(augmentations, json_schema_input_type=str | list[Augmentation]),
]


def symmetries(names: Iterable[str]) -> tuple[Symmetry, ...]:
    """Return the symmetries of the views, the identity first.

    'mirror' adds the left-right flip, 'flips' adds all four flips, and 'turns' adds the quarter
    turns; 'turns' together with one of the others gives all eight symmetries of the square.
    """
    names = set(names)
    if "turns" in names:
        return SYMMETRIES if names & {"mirror", "flips"} else TURNS
    return FLIPS if "flips" in names else MIRROR if "mirror" in names else FLIPS[:1]


def zooms(names: Iterable[str]) -> tuple[float, ...]:
    """Return the relative scales of the views, 1 first."""
    return ZOOMS if "scales" in set(names) else ZOOMS[:1]


def view_count(names: Iterable[str]) -> int:
    """Return the number of views, by which the cost of the network is multiplied."""
    names = tuple(names)
    return len(symmetries(names)) * len(zooms(names))


def as_text(names: Iterable[str]) -> str:
    """Format the augmentations as on the command line."""
    return ",".join(names) or NONE
