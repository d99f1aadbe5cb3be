"""Operating points chosen on annotated images: a greedy search over parameters, per cell type.

A parameter moves only where the score gains clearly: four parameters tuned freely on 26 images
lost on unseen ones what they had won. Whatever is tuned here is in-sample on the images it was
tuned on; `crossfitted` gives the honest figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.evaluation.coordinate_search import coordinate_search
from bigkingxxl.evaluation.crossfit import crossfit
from bigkingxxl.evaluation.partial import Ignored, counted_candidates
from bigkingxxl.evaluation.prediction_cache import Parameters, PredictionCache
from bigkingxxl.evaluation.threshold_scorer import ThresholdScorer
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import ZOOM, OperatingPoint, OperatingPoints

Float64 = NDArray[np.float64]
SELECT_GRID: dict[str, Sequence[float]] = {
    "score_threshold": tuple(np.arange(0.05, 0.85, 0.05).round(2).tolist()),
    "mask_threshold": (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7),
    "nms_iou": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
}
AREA_PERCENTILES = (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20)


@dataclass
class Tuner:
    """Searches operating points for one set of images.

    Attributes:
        cache: what the model saw in them.
        truth: annotated cells by image id; types: the cell type of each image.
        groups: the field, well or sample of each image; left out: its own.
        select_grid: values to try, by parameter; minimum areas come from the annotated cells.
        ignored: bool[H, W] by image, what nobody annotated; cells there are not counted.
    """

    cache: PredictionCache
    truth: Mapping[str, Instances]
    types: Mapping[str, str | None]
    groups: Mapping[str, str] = field(default_factory=dict)
    select_grid: Mapping[str, Sequence[float]] = field(default_factory=lambda: SELECT_GRID)
    ignored: Mapping[str, Ignored | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._decoded: dict[tuple[str, str], Candidates] = {}
        self._tables: dict[tuple[str, str, float], ThresholdScorer] = {}
        self._joined: dict[tuple[tuple[str, ...], str, float], ThresholdScorer] = {}

    # ---- choosing -----------------------------------------------------------------------------

    def tune(self, ids: Sequence[str], start: OperatingPoints) -> OperatingPoints:
        """Operating points whose parameters surely raised the score of these images, per type."""
        by_type = dict(start.by_type)
        for name, own in self.by_type(ids).items():
            found = self.search(own, start.of(name))
            if found != start.of(name):
                by_type[name] = found
        return start.changed(
            by_type={name: point.model_dump() for name, point in by_type.items()},
            tuned_on=tuple(ids),
        )

    def by_type(self, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The ids of each cell type; images without one are left out."""
        found: dict[str, list[str]] = {}
        for image_id in ids:
            kind = self.types.get(image_id)
            if kind is not None:
                found.setdefault(kind, []).append(image_id)
        return {name: tuple(found[name]) for name in sorted(found)}

    def grid(
        self, ids: Sequence[str], start: OperatingPoint | None = None
    ) -> Iterator[tuple[str, str, Sequence[Any]]]:
        """Every parameter as (part, name, values): the few of `decode`, then those of `select`.

        Args:
            start: with it also how much larger or smaller than there images are looked at.
        """
        if start is not None and self.cache.zooms:
            now = start.decode.get(ZOOM, 1.0)
            yield "decode", ZOOM, tuple(round(now * zoom, 3) for zoom in self.cache.zooms)
        for parameter, values in self.cache.decode_grid.items():
            yield "decode", parameter, values
        for parameter, values in self.select_grid.items():
            yield "select", parameter, values
        if "minimum_area" not in self.select_grid:
            yield "select", "minimum_area", self.minimum_areas(ids)

    def minimum_areas(self, ids: Sequence[str]) -> tuple[float, ...]:
        """0 and the low percentiles of the annotated cells' areas, in pixels of training images."""
        areas = [
            self.truth[each].areas() * self.candidates(each, {}).scale_ratio ** 2 for each in ids
        ]
        every = np.concatenate(areas) if areas else np.zeros(0)
        if not len(every):
            return (0.0,)
        low = np.percentile(every, AREA_PERCENTILES).round().tolist()
        return tuple(sorted({0.0, *low}))

    def search(self, ids: Sequence[str], start: OperatingPoint) -> OperatingPoint:
        """The operating point whose parameters surely raised the score of these images."""

        def move(
            line: tuple[str, str, Sequence[Any]], best: OperatingPoint
        ) -> list[OperatingPoint]:
            part, parameter, values = line
            return [changed_parameter(best, part, parameter, value) for value in values]

        moves = [partial(move, line) for line in self.grid(ids, start)]
        return coordinate_search(start, moves, partial(self.scores, ids), ids, self.groups)

    # ---- scoring ------------------------------------------------------------------------------

    def scores(self, ids: Sequence[str], point: OperatingPoint) -> Float64:
        """float64[N]: the score of each image under one point, from cached areas and overlaps.

        The type of the images is given here: what is tuned is the parameters, not the vote.
        """
        key = (tuple(ids), repr(sorted(point.decode.items())), point.select.mask_threshold)
        if key not in self._joined:
            self._joined[key] = ThresholdScorer.joined([self._table(each, point) for each in ids])
        return self._joined[key].scores(point.select)

    def repainted(self, ids: Sequence[str], point: OperatingPoint) -> Float64:
        """float64[N]: the same scores, from cells that are selected, painted and matched."""
        points = OperatingPoints(default=point)
        return np.array([
            match_counts(self.truth[each], self._select(each, point.decode, points)).score
            for each in ids
        ])  # fmt: skip

    def predict(self, image_id: str, points: OperatingPoints) -> Instances:
        """The selected cells of one image as prediction finds them: its type is voted."""
        return self._select(image_id, points.of(self.voted_type(image_id, points)).decode, points)

    def voted_type(self, image_id: str, points: OperatingPoints) -> str | None:
        """Whose decoding parameters an image gets; nobody is asked where all have the same."""
        return self.cache.voted_type(image_id) if points.by_type else None

    def candidates(self, image_id: str, parameters: Parameters) -> Candidates:
        """What the model saw under decoding parameters, kept."""
        key = (image_id, repr(sorted(parameters.items())))
        if key not in self._decoded:
            found = self.cache.decode(image_id, parameters)
            self._decoded[key] = counted_candidates(found, self.ignored.get(image_id))
        return self._decoded[key]

    def _select(self, image_id: str, parameters: Parameters, points: OperatingPoints) -> Instances:
        return select(self.candidates(image_id, parameters), points)

    def _table(self, image_id: str, point: OperatingPoint) -> ThresholdScorer:
        threshold = point.select.mask_threshold
        key = (image_id, repr(sorted(point.decode.items())), threshold)
        if key not in self._tables:
            self._tables[key] = ThresholdScorer.of_image(
                self.candidates(image_id, point.decode), self.truth[image_id], threshold
            )
        return self._tables[key]


def types_to_tune(
    cache: PredictionCache, type_names: Sequence[str], types: Mapping[str, str | None]
) -> dict[str, str | None]:
    """The type whose parameters each image is to help choose.

    The annotated type where the model knows it; else, as in a set of cells without types, the one
    that the model itself sees. Images without cells say nothing and have none.

    Args:
        type_names: what the model knows; types: as annotated, None without cells.
    """
    found = dict(types)
    for image_id, kind in types.items():
        if kind is not None and kind not in type_names:
            only = type_names[0] if len(type_names) == 1 else None
            found[image_id] = only or cache.voted_type(image_id)
    return found


def ids_to_tune(
    type_names: Sequence[str], known: Sequence[str], types: Mapping[str, str | None]
) -> tuple[str, ...]:
    """The images that a model can be tuned on and scored by.

    A model of some of a data set's types (one model a type, say) is out of place on the others'
    images, and an image without cells would praise it for seeing nothing: neither is among them.

    Args:
        type_names: what the model knows; known: what the data set knows; types: of each image.
    """
    if not set(type_names) < set(known):
        return tuple(types)
    return tuple(image_id for image_id, kind in types.items() if kind in type_names)


def changed_parameter(
    point: OperatingPoint, part: str, parameter: str, value: Any
) -> OperatingPoint:
    """A point with one parameter moved.

    Args:
        part: 'decode' or 'select'.
    """
    values = point.model_dump()
    values[part][parameter] = value
    return point.changed(**values)


def crossfitted_points(
    tuner: Tuner,
    ids: Sequence[str],
    start: OperatingPoints,
    *,
    seed: int = 0,
    parts: Sequence[tuple[str, ...]] = (),
) -> dict[str, OperatingPoints]:
    """For every image, points tuned on the half of the images that it is not in.

    A group of `tuner.groups` is never on both sides.

    Args:
        parts: in the place of halves, see `crossfit.crossfit`.

    Raises:
        InputError: fewer than two groups.
    """
    return crossfit(
        ids,
        tuner.types,
        tuner.groups,
        tune=lambda tuned_on: tuner.tune(tuned_on, start),
        score=lambda points, held_out: dict.fromkeys(held_out, points),
        seed=seed,
        parts=parts,
    )


def crossfitted(
    tuner: Tuner, ids: Sequence[str], start: OperatingPoints, *, seed: int = 0
) -> dict[str, Instances]:
    """Cells of every image, selected by points tuned on the other half: see `crossfitted_points`.

    Raises:
        InputError: fewer than two groups.
    """
    found = crossfitted_points(tuner, ids, start, seed=seed)
    return {image_id: tuner.predict(image_id, points) for image_id, points in found.items()}
