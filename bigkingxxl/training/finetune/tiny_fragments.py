"""Tiny fragments among annotated cells: slips of the brush, which must not affect a fine-tuning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bigkingxxl.data.base import Dataset, Ignored
from bigkingxxl.data.label_policy import SPECK
from bigkingxxl.instances import Instances

FRAGMENT = 0.03  # fraction of the median cell area, below which a cell is a fragment


@dataclass(frozen=True)
class TinyFragments:
    """Annotated cells that are too small.

    Attributes:
        limit: The area of the smallest accepted cell in pixels.
        count: The number of smaller ones.
        median: The median area in pixels.
    """

    limit: float
    count: int
    median: float

    @property
    def note(self) -> str | None:
        """Return a sentence on the fragments, or None if there are none."""
        if not self.count:
            return None
        return (
            f"{self.count} annotated cells are smaller than {self.limit:.0f} pixels (the median "
            f"cell has {self.median:.0f}): they are treated as mistakes, and neither used for "
            "training nor scored"
        )


def find_tiny_fragments(data: Dataset) -> TinyFragments:
    """Find the cells of a data set that are too small."""
    areas = np.concatenate([data.instances(image_id).areas() for image_id in data.ids])
    large = areas[areas >= SPECK]
    median = float(np.median(large)) if len(large) else 0.0
    limit = max(float(SPECK), FRAGMENT * median)
    return TinyFragments(limit, int((areas < limit).sum()), median)


def without_tiny_fragments(data: Dataset, limit: float) -> Dataset:
    """Return the data set without cells below a limit; their pixels are ignored."""
    return replace(
        data,
        read_instances=partial(_large, data.read_instances, limit),
        read_ignored=partial(_ignored, data.read_instances, data.read_ignored, limit),
    )


def _large(read: Callable[[str], Instances], limit: float, image_id: str) -> Instances:
    cells = read(image_id)
    return cells.take(cells.areas() >= limit)


def _ignored(
    read: Callable[[str], Instances],
    read_ignored: Callable[[str], Ignored | None],
    limit: float,
    image_id: str,
) -> Ignored | None:
    cells, ignored = read(image_id), read_ignored(image_id)
    small = cells.take(cells.areas() < limit)
    if not len(small):
        return ignored
    hidden = small.label_map() > 0
    return hidden if ignored is None else hidden | ignored
