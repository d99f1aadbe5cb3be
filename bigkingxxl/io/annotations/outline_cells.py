"""Cells given as outlines, with the name of a type and optionally a score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.outlines import filled


class NoAreaError(ValueError):
    """An outline that is not an area; the message completes the sentence 'it is ...'."""


@dataclass(frozen=True, eq=False)
class OutlineCell:
    """A cell of a file of outlines.

    Attributes:
        rings: Its outer outlines and holes, float[K, 2] of x (column) and y (row).
        type_name: The type, or None if the file does not give it.
        score: The score, or None if the file does not give it.
    """

    rings: Sequence[NDArray[Any]]
    type_name: str | None = None
    score: float | None = None


def instances_from_outlines(
    cells: Iterable[OutlineCell], size: tuple[int, int], type_names: Sequence[str] | None = None
) -> Instances:
    """Convert outlines to the cells of an image; empty cells are left out.

    If only some cells have a score, the others get 1, because a person drew them.

    Args:
        cells: The cells.
        size: (H, W); the rest is clipped.
        type_names: The expected types; others are appended.
    """
    cells = list(cells)
    named = (cell.type_name or UNTYPED for cell in cells)
    names = tuple(dict.fromkeys([*(type_names or ()), *named])) or (UNTYPED,)
    place = {name: index for index, name in enumerate(names)}
    scores = [cell.score for cell in cells]
    score = np.array([1.0 if each is None else each for each in scores], np.float32)
    instances = filled(
        [cell.rings for cell in cells], size,
        cell_type=np.array([place[cell.type_name or UNTYPED] for cell in cells], np.int16),
        type_names=names,
        score=score if any(each is not None for each in scores) else None,
    )  # fmt: skip
    return instances.take(np.diff(instances.splits) > 0)
