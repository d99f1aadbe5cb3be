"""Operating points chosen on annotated images: a greedy search, knob by knob, for each cell type.

A knob moves only where the score gains clearly: four knobs tuned freely on 26 images lost on
unseen ones what they had won. Whatever is tuned here is in-sample on the images it was tuned on;
`crossfitted` gives the honest figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.evaluation.crossfit import crossfit
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints

Decode = Callable[[str, Mapping[str, Any]], Candidates]
Knobs = dict[str, Any]
CLEAR_GAIN = 0.003
PASSES = 2
SELECT_GRID: dict[str, Sequence[float]] = {
    "score_threshold": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    "minimum_area": (0, 20, 40, 60, 90, 130),
}


@dataclass
class Tuner:
    """Searches operating points for one set of images.

    Attributes:
        decode: candidates of an image under decode knobs (a detector ignores them).
        truth: annotated cells by image id; types: the cell type of each image.
        decode_grid, select_grid: values to try, by knob.
    """

    decode: Decode
    truth: Mapping[str, Instances]
    types: Mapping[str, str | None]
    decode_grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    select_grid: Mapping[str, Sequence[float]] = field(default_factory=lambda: SELECT_GRID)

    def tune(self, ids: Sequence[str], start: OperatingPoints) -> OperatingPoints:
        """Operating points whose knobs raised the mean score of these images, type by type."""
        by_type = dict(start.by_type)
        for name in sorted({kind for image_id in ids if (kind := self.types.get(image_id))}):
            own = [image_id for image_id in ids if self.types.get(image_id) == name]
            by_type[name] = self._search(name, own, start.of(name), start)
        return start.changed(
            by_type={name: point.model_dump() for name, point in by_type.items()},
            tuned_on=tuple(ids),
        )

    def predict(self, image_id: str, points: OperatingPoints) -> Instances:
        """The selected cells of one image; the image's type is voted by its own candidates."""
        first = self.decode(image_id, points.default.decode)
        voted = select(first, points)
        name = voted.type_names[int(voted.cell_type[0])] if len(voted) else None
        return select(self.decode(image_id, points.of(name).decode), points)

    def _search(
        self, name: str, ids: Sequence[str], start: OperatingPoint, points: OperatingPoints
    ) -> OperatingPoint:
        best, cache = start, dict[str, Candidates]()
        best_score = self._score(name, ids, best, points, cache)
        for _ in range(PASSES):
            before = best
            for part, grid in (("decode", self.decode_grid), ("select", self.select_grid)):
                for knob, values in grid.items():
                    tried = [_with(best, part, knob, value) for value in values]
                    scores = [self._score(name, ids, each, points, cache) for each in tried]
                    if max(scores) > best_score + CLEAR_GAIN:
                        best, best_score = tried[int(np.argmax(scores))], max(scores)
            if best == before:
                break
        return best

    def _score(
        self, name: str, ids: Sequence[str], point: OperatingPoint, points: OperatingPoints,
        cache: dict[str, Candidates],
    ) -> float:  # fmt: skip
        trial = points.changed(by_type={name: point.model_dump()})
        scores = []
        for image_id in ids:
            key = f"{image_id} {sorted(point.decode.items())}"
            if key not in cache:
                cache[key] = self.decode(image_id, point.decode)
            # The type is given here: what is tuned is the knobs, not the vote.
            cells = select(cache[key], trial, cell_type=name if cache[key].type_names else None)
            scores.append(match_counts(self.truth[image_id], cells).score)
        return float(np.mean(scores))


def _with(point: OperatingPoint, part: str, knob: str, value: float) -> OperatingPoint:
    values = point.model_dump()
    values[part][knob] = value
    return point.changed(**values)


def crossfitted(
    tuner: Tuner, ids: Sequence[str], groups: Mapping[str, str], start: OperatingPoints,
    *, seed: int = 0,
) -> dict[str, Instances]:  # fmt: skip
    """Cells of every image, selected by points tuned on the other half of the images.

    Args:
        groups: the field or well of each image; a group is never on both sides.
    """
    return crossfit(
        ids,
        tuner.types,
        groups,
        tune=lambda tuned_on: tuner.tune(tuned_on, start),
        score=lambda points, held_out: {name: tuner.predict(name, points) for name in held_out},
        seed=seed,
    )
