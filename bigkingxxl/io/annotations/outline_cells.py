"""Cells as other programs hand them over: outlines with a type's name and maybe a score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.outlines import filled


class NoAreaError(ValueError):
    """What an outline is instead of an area: the rest of the sentence 'it is ...'."""


@dataclass(frozen=True, eq=False)
class OutlineCell:
    """One cell of a file of outlines.

    Attributes:
        rings: its outer outlines and holes, float[K, 2] of x (column) and y (row).
        type_name: None where the file does not say.
        score: None where the file does not say.
    """

    rings: Sequence[NDArray[Any]]
    type_name: str | None = None
    score: float | None = None


def instances_from_outlines(
    cells: Iterable[OutlineCell], size: tuple[int, int], type_names: Sequence[str] | None = None
) -> Instances:
    """The cells of one image; pixels outside it are left out, and so are cells without any.

    Where only some cells have a score the others have 1: somebody drew them.

    Args:
        size: (H, W).
        type_names: the expected types; others that the cells name follow them.
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
