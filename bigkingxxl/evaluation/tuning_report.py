"""A complete tuning run: what changed, the gain, and what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.competition_map import CompetitionScore, competition_map
from bigkingxxl.evaluation.prediction_cache import Parameters
from bigkingxxl.evaluation.tuning import Tuner, crossfitted_points
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints


@dataclass(frozen=True)
class TypeResult:
    """The result of tuning for one cell type.

    Attributes:
        images: The number of images.
        before: The mean score at the start, in-sample, from cached overlaps.
        after: The mean score after tuning, in-sample, from cached overlaps.
        repainted: The same as `after`, from cells that are selected, painted and matched.
        crossfitted_gain: The gain of images from parameters tuned on others; None if unknown.
        moved: (value before, value after) by parameter.
        kept: Whether the model should get these parameters.
    """

    images: int
    before: float
    after: float
    repainted: float
    crossfitted_gain: float | None
    moved: dict[str, tuple[Any, Any]]
    kept: bool


@dataclass(frozen=True, eq=False)
class TuningResult:
    """The result of a tuning run.

    Attributes:
        points: The operating points to save: tuned parameters where they are kept, else those of
            the start.
        tuned: The tuned parameters of every type, kept or not.
        by_type: The result for each cell type.
        start: The score of prediction with the points of the start.
        crossfitted: The score with points tuned on the other half of the images; None if there are
            no halves.
        note: Why there is no cross-fitted score, or None.
        held_out: For each image, the points tuned without it, for the types that are kept.
    """

    points: OperatingPoints
    tuned: OperatingPoints
    by_type: dict[str, TypeResult]
    start: CompetitionScore
    crossfitted: CompetitionScore | None
    note: str | None
    held_out: dict[str, OperatingPoints] = field(default_factory=dict)

    @property
    def honest(self) -> CompetitionScore | None:
        """The cross-fitted score if tuned parameters are kept, else that of the start."""
        is_kept = any(each.kept for each in self.by_type.values())
        return self.crossfitted if is_kept or self.crossfitted is None else self.start

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "by_type": {name: vars(result) for name, result in self.by_type.items()},
            "start": self.start.as_dict(),
            "crossfitted": self.crossfitted and self.crossfitted.as_dict(),
            "note": self.note,
            "points": self.points.model_dump(mode="json"),
        }


def run_tuning(
    tuner: Tuner,
    ids: Sequence[str],
    start: OperatingPoints,
    *,
    seed: int = 0,
    parts: Sequence[tuple[str, ...]] = (),
) -> TuningResult:
    """Tune on all images, and on each half to measure the gain on the other.

    A type keeps its tuned parameters only if images gained from parameters tuned without them.

    Args:
        tuner: The tuner.
        ids: The images.
        start: The operating points to start from.
        seed: The seed of the split.
        parts: Parts that replace the halves; see `crossfit.crossfit`.

    Raises:
        InputError: No image has a cell type to tune for.
    """
    groups = tuner.by_type(ids)
    if not groups:
        raise InputError(
            f"none of {len(ids)} images has an annotated cell: nothing to tune on", found=0
        )
    tuned = tuner.tune(ids, start)
    before = _score(tuner, ids, dict.fromkeys(ids, start))
    honest, note = None, None
    without: dict[str, OperatingPoints] = {}
    try:
        without = crossfitted_points(tuner, ids, start, seed=seed, parts=parts)
        honest = _score(tuner, ids, without)
    except InputError as error:
        note = str(error)
    gains = {name: _mean_gain(before, honest, own) for name, own in groups.items()}
    by_type = {
        name: _type_result(tuner, own, start.of(name), tuned.of(name), gains[name])
        for name, own in groups.items()
    }
    names = [name for name, result in by_type.items() if result.kept]
    held_out = {image_id: _of_types(start, own, names) for image_id, own in without.items()}
    return TuningResult(
        _of_types(start, tuned, names), tuned, by_type, before, honest, note, held_out
    )


def _of_types(
    start: OperatingPoints, tuned: OperatingPoints, names: Sequence[str]
) -> OperatingPoints:
    """Return the points of the start with the tuned points of some types."""
    by_type = {**start.by_type, **{name: tuned.of(name) for name in names}}
    return tuned.changed(by_type={name: point.model_dump() for name, point in by_type.items()})


def _score(
    tuner: Tuner, ids: Sequence[str], points: dict[str, OperatingPoints]
) -> CompetitionScore:
    truth = {image_id: tuner.truth[image_id] for image_id in ids}
    found = {image_id: tuner.predict(image_id, points[image_id]) for image_id in ids}
    return competition_map(truth, found, tuner.types)


def _mean_gain(
    before: CompetitionScore, after: CompetitionScore | None, ids: Sequence[str]
) -> float | None:
    if after is None:
        return None
    return float(np.mean([after.scores[each] - before.scores[each] for each in ids]))


def _type_result(
    tuner: Tuner, ids: Sequence[str], start: OperatingPoint, tuned: OperatingPoint,
    gain: float | None,
) -> TypeResult:  # fmt: skip
    moved = moved_parameters(start, tuned, tuner.cache.decode_defaults)
    return TypeResult(
        images=len(ids),
        before=float(tuner.scores(ids, start).mean()),
        after=float(tuner.scores(ids, tuned).mean()),
        repainted=float(tuner.repainted(ids, tuned).mean()),
        crossfitted_gain=gain,
        moved=moved,
        kept=bool(moved) and (gain is None or gain > 0),
    )


def moved_parameters(
    start: OperatingPoint, tuned: OperatingPoint, defaults: Parameters
) -> dict[str, tuple[Any, Any]]:
    """Return (value before, value after) by parameter.

    Args:
        start: The operating point before.
        tuned: The operating point after.
        defaults: The values of decoding parameters that a point does not give.
    """
    before = {**defaults, **start.decode, **start.select.model_dump()}
    after = {**defaults, **tuned.decode, **tuned.select.model_dump()}
    return {
        name: (before.get(name), value)
        for name, value in after.items()
        if before.get(name) != value
    }
