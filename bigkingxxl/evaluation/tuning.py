"""Tune operating points on annotated images: a greedy search over parameters, per cell type.

A parameter changes only if the score clearly improves: four parameters that were tuned freely on 26
images lost on other images what they had gained. Scores on the images used for tuning are
in-sample; `crossfitted` gives an honest score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.evaluation.cells_as_predicted import cells_as_predicted
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.evaluation.coordinate_search import coordinate_search
from bigkingxxl.evaluation.crossfit import crossfit
from bigkingxxl.evaluation.partial_annotation import Ignored, counted, counted_candidates
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
    """Searches operating points for a set of images.

    Attributes:
        cache: The predictions of the model.
        truth: The annotated cells by image id.
        types: The cell type of each image.
        groups: The field, well or sample of each image; a missing image is its own group.
        select_grid: The values to try by parameter; minimum areas follow from the annotated cells.
        ignored: bool[H, W] by image, True where it is not annotated; cells there are ignored.
    """

    cache: PredictionCache
    truth: Mapping[str, Instances]
    types: Mapping[str, str | None]
    groups: Mapping[str, str] = field(default_factory=dict)
    select_grid: Mapping[str, Sequence[float]] = field(default_factory=lambda: SELECT_GRID)
    ignored: Mapping[str, Ignored | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._decoded: dict[tuple[str, str], Candidates] = {}
        self._counted: dict[tuple[str, str], Candidates] = {}
        self._tables: dict[tuple[str, str, float], ThresholdScorer] = {}
        self._joined: dict[tuple[tuple[str, ...], str, float], ThresholdScorer] = {}

    # ---- search -------------------------------------------------------------------------------

    def tune(self, ids: Sequence[str], start: OperatingPoints) -> OperatingPoints:
        """Return operating points that clearly raise the score of these images, per type."""
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
        """Group the ids by cell type; images without a type are left out."""
        found: dict[str, list[str]] = {}
        for image_id in ids:
            kind = self.types.get(image_id)
            if kind is not None:
                found.setdefault(kind, []).append(image_id)
        return {name: tuple(found[name]) for name in sorted(found)}

    def grid(
        self, ids: Sequence[str], start: OperatingPoint | None = None
    ) -> Iterator[tuple[str, str, Sequence[Any]]]:
        """Yield every parameter as (part, name, values): those of `decode`, then those of `select`.

        Args:
            ids: The images.
            start: If given, include zooms relative to this point.
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
        """Return 0 and the low percentiles of annotated areas, in pixels of the training images."""
        areas = [
            self.truth[each].areas() * self.candidates(each, {}).scale_ratio ** 2 for each in ids
        ]
        every = np.concatenate(areas) if areas else np.zeros(0)
        if not len(every):
            return (0.0,)
        low = np.percentile(every, AREA_PERCENTILES).round().tolist()
        return tuple(sorted({0.0, *low}))

    def search(self, ids: Sequence[str], start: OperatingPoint) -> OperatingPoint:
        """Return an operating point that clearly raises the score of these images."""

        def move(
            line: tuple[str, str, Sequence[Any]], best: OperatingPoint
        ) -> list[OperatingPoint]:
            part, parameter, values = line
            return [changed_parameter(best, part, parameter, value) for value in values]

        moves = [partial(move, line) for line in self.grid(ids, start)]
        return coordinate_search(start, moves, partial(self.scores, ids), ids, self.groups)

    # ---- scores -------------------------------------------------------------------------------

    def scores(self, ids: Sequence[str], point: OperatingPoint) -> Float64:
        """Score each image under one point, float64[N], from cached areas and overlaps.

        The type of the images is given, and no image counts as out of focus: tuning concerns the
        parameters, not the vote or the sharpness of the image.
        """
        key = (tuple(ids), repr(sorted(point.decode.items())), point.select.mask_threshold)
        if key not in self._joined:
            self._joined[key] = ThresholdScorer.joined([self._table(each, point) for each in ids])
        return self._joined[key].scores(point.select)

    def repainted(self, ids: Sequence[str], point: OperatingPoint) -> Float64:
        """Score each image, float64[N], from cells that are selected, painted and matched."""
        points = OperatingPoints(default=point)
        cells = {each: select(self.candidates(each, point.decode), points) for each in ids}
        return np.array([match_counts(self.truth[each], cells[each]).score for each in ids])

    def predict(self, image_id: str, points: OperatingPoints) -> Instances:
        """Select the cells of one image as prediction does, with a vote on its type.

        An image that is out of focus has no cells, unless even its annotated cells look so; see
        `cells_as_predicted`.
        """
        parameters = points.of(self.voted_type(image_id, points)).decode
        source, truth = self.cache.source(image_id), self.truth[image_id]
        cells = cells_as_predicted(source, self._found(image_id, parameters), points, truth)
        return counted(cells, self.ignored.get(image_id))

    def voted_type(self, image_id: str, points: OperatingPoints) -> str | None:
        """Return the type whose decoding parameters apply; no vote if all types share them."""
        return self.cache.voted_type(image_id) if points.by_type else None

    def candidates(self, image_id: str, parameters: Parameters) -> Candidates:
        """Return the candidates in annotated areas under decoding parameters, cached."""
        found, ignored = self._found(image_id, parameters), self.ignored.get(image_id)
        if ignored is None:
            return found
        key = (image_id, repr(sorted(parameters.items())))
        if key not in self._counted:
            self._counted[key] = counted_candidates(found, ignored)
        return self._counted[key]

    def _found(self, image_id: str, parameters: Parameters) -> Candidates:
        """Return all candidates under decoding parameters, cached."""
        key = (image_id, repr(sorted(parameters.items())))
        if key not in self._decoded:
            self._decoded[key] = self.cache.decode(image_id, parameters)
        return self._decoded[key]

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
    """Determine the type for which each image is used in tuning.

    It is the annotated type if the model knows it; otherwise, as in a set of cells without types,
    it is the type that the model predicts. Images without cells have none.

    Args:
        cache: The predictions of the model.
        type_names: The types that the model knows.
        types: The annotated type of each image; None without cells.
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
    """Return the images on which a model can be tuned and scored.

    Images of types that the model does not know are left out, as are images without cells, which
    would reward a model for finding nothing.

    Args:
        type_names: The types that the model knows.
        known: The types that the data set knows.
        types: The type of each image.
    """
    if not set(type_names) < set(known):
        return tuple(types)
    return tuple(image_id for image_id, kind in types.items() if kind in type_names)


def changed_parameter(
    point: OperatingPoint, part: str, parameter: str, value: Any
) -> OperatingPoint:
    """Return a copy of a point with one parameter changed.

    Args:
        point: The operating point.
        part: 'decode' or 'select'.
        parameter: The name of the parameter.
        value: Its new value.
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
    """Return, for every image, points tuned on the half of the images without it.

    The groups of `tuner.groups` stay together.

    Args:
        tuner: The tuner.
        ids: The images.
        start: The operating points to start from.
        seed: The seed of the split.
        parts: Parts that replace the halves; see `crossfit.crossfit`.

    Raises:
        InputError: There are fewer than two groups.
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
