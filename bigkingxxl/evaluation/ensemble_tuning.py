"""Tune the weights and thresholds of an ensemble on annotated images, and score them on others.

Each image is predicted only by members that were not trained on it, so that the models of a
cross-validation are tuned out of fold on the whole set. Models of one recipe (the same method,
settings and cell types) share their weight, because they differ only in their images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.base import Dataset
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.competition_map import CompetitionScore, competition_map
from bigkingxxl.evaluation.coordinate_search import coordinate_search
from bigkingxxl.evaluation.crossfit import crossfit
from bigkingxxl.evaluation.member_cache import stored
from bigkingxxl.evaluation.paired_gain import PairedGain
from bigkingxxl.evaluation.partial_annotation import counted
from bigkingxxl.evaluation.prediction_cache import Parameters, maps_folder
from bigkingxxl.evaluation.tuning import Tuner, types_to_tune
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.ensemble import Member, joint_types
from bigkingxxl.inference.ensemble_file import Members
from bigkingxxl.inference.load_ensemble import joined, load_member
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import read_card, untuned_hash
from bigkingxxl.operating_points import OperatingPoints

Weights = tuple[float, ...]
Choice = tuple[Weights, OperatingPoints]
FACTORS = (0.25, 0.5, 2.0, 4.0)  # factors by which a weight is changed
MOST_TUNERS = len(FACTORS) + 2  # the start, the best, and those that are tried


@dataclass(frozen=True, eq=False)
class EnsembleResult:
    """The result of tuning an ensemble.

    Attributes:
        weights: The weights to keep.
        points: The operating points to keep.
        thresholds: The cross-fitted gain of tuned thresholds with unchanged weights.
        with_weights: The additional cross-fitted gain of tuned weights; None if none changed.
        tried: The weights tuned on all images, kept or not.
        start: The score before tuning.
        crossfitted: The cross-fitted score of what is kept.
        out_of_fold: The number of images that only some of the members predicted.
    """

    weights: Weights
    points: OperatingPoints
    thresholds: PairedGain
    with_weights: PairedGain | None
    tried: Weights
    start: CompetitionScore
    crossfitted: CompetitionScore
    out_of_fold: int = 0

    @property
    def keeps_thresholds(self) -> bool:
        """Whether images gained from thresholds that were tuned on other images."""
        return self.thresholds.gain > 0

    @property
    def keeps_weights(self) -> bool:
        """Whether images gained from weights that were tuned on other images."""
        return self.with_weights is not None and self.with_weights.gain > 0

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {
            "weights": list(self.weights), "tried_weights": list(self.tried),
            "keeps_weights": self.keeps_weights, "keeps_thresholds": self.keeps_thresholds,
            "thresholds": self.thresholds.as_dict(),
            "with_weights": None if self.with_weights is None else self.with_weights.as_dict(),
            "start": self.start.as_dict(), "crossfitted": self.crossfitted.as_dict(),
            "out_of_fold_images": self.out_of_fold,
            "points": self.points.model_dump(mode="json"),
        }  # fmt: skip


@dataclass(eq=False)
class WeightedCache:
    """The predictions of an ensemble with given weights; see `PredictionCache`."""

    find: Callable[[str, Weights], Candidates]
    source: Callable[[str], ImageSource]
    weights: Weights
    decode_grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    decode_defaults: Parameters = field(default_factory=dict)
    zooms: Sequence[float] = ()

    def predict(self, image_id: str) -> None:
        """See `PredictionCache.predict`."""
        self.find(image_id, self.weights)

    def decode(self, image_id: str, parameters: Parameters) -> Candidates:  # noqa: ARG002
        """See `PredictionCache.decode`; the members use decoding parameters of their own."""
        return self.find(image_id, self.weights)

    def voted_type(self, image_id: str) -> str | None:  # noqa: ARG002
        """See `PredictionCache.voted_type`."""
        return None


class EnsembleTuner:
    """Tunes an ensemble on annotated images.

    Args:
        ensemble: The members.
        card: The joint card.
        data: The data set.
        ids: The images.
        groups: The field, well or sample of each image.
        folder: The cache of the members' predictions.
        device: The device.
        force: Whether members may predict images on which they were trained.

    Raises:
        InputError: Too many members were trained on an image.
    """

    def __init__(
        self, ensemble: Members, card: ModelCard, data: Dataset, ids: Sequence[str],
        groups: Mapping[str, str], folder: Path, device: str = "auto", *, force: bool = False,
    ) -> None:  # fmt: skip
        self.ensemble, self.card, self.data = ensemble, card, data
        self.ids, self.groups = tuple(ids), groups
        self.cards = [read_card(path) for path in ensemble.files]
        self.usable = self._usable(force)
        self.families = self._families()
        self.members = [self._member(place, folder, device) for place in range(len(self.cards))]
        ignored = {each: data.ignored(each) for each in ids}
        self.ignored = ignored
        self.truth = {each: counted(data.instances(each), ignored[each]) for each in ids}
        self._tuners: dict[Weights, Tuner] = {}
        kinds = {each: data.cell_type(each) for each in ids}
        cache = WeightedCache(self.candidates, data.source, ensemble.weights)
        self.types = types_to_tune(cache, card.type_names, kinds)

    # ---- which members may predict an image ----------------------------------------------------

    def _usable(self, force: bool) -> dict[str, tuple[int, ...]]:
        """Return the members that were not trained on each image; all of them with `force`."""
        known = [self.data.among(card.trained_on) for card in self.cards]
        every = tuple(range(len(self.cards)))
        if force:
            return dict.fromkeys(self.ids, every)
        usable = {
            each: tuple(place for place in every if each not in known[place]) for each in self.ids
        }
        types = joint_types([card.type_names for card in self.cards])
        for image_id, places in usable.items():
            left = [self.cards[place].type_names for place in places]
            if not left or set(joint_types(left)) != set(types):
                seen = next(place for place in every if place not in places)
                raise InputError(
                    f"{self.ensemble.files[seen]} was trained on the image '{image_id}', and the "
                    "other models do not know all cell types: thresholds that are tuned on "
                    "training images do not suit other images (choose a --fold that was not used "
                    "for training, or add --force)",
                    file=self.ensemble.files[seen],
                    found=image_id,
                )
        return usable

    @property
    def out_of_fold(self) -> int:
        """The number of images that only some of the members predict."""
        return sum(len(places) < len(self.cards) for places in self.usable.values())

    def _families(self) -> list[int]:
        """Return the index of the family of each member."""
        keys = [
            (card.method, repr(sorted(card.settings.items())), card.type_names, weight)
            for card, weight in zip(self.cards, self.ensemble.weights, strict=True)
        ]
        order = list(dict.fromkeys(keys))
        return [order.index(key) for key in keys]

    def _member(self, place: int, folder: Path, device: str) -> Member:
        path, card = self.ensemble.files[place], self.cards[place]
        types = joint_types([each.type_names for each in self.cards])
        model = load_member(path, card, types, device, self.ensemble.changes)
        own = maps_folder(folder, untuned_hash(path), model)
        kept = stored(model, own.with_name(f"{own.name}-member"))
        return Member(kept, card.type_names, card.operating_points)

    # ---- predictions ----------------------------------------------------------------------------

    def candidates(self, image_id: str, weights: Weights) -> Candidates:
        """Return the candidates of the ensemble with given weights."""
        places = self.usable[image_id]
        members = [replace(self.members[place], weight=weights[place]) for place in places]
        predictor = joined(members, self.card.operating_points.type_vote)
        return predictor.candidates(self.data.source(image_id))

    def tuner(self, weights: Weights) -> Tuner:
        """Return a tuner of the thresholds with given weights."""
        known = self._tuners.pop(weights, None)
        self._tuners[weights] = known or Tuner(
            WeightedCache(self.candidates, self.data.source, weights), self.truth, self.types,
            self.groups, ignored=self.ignored,
        )  # fmt: skip
        # Each tuner holds the candidates of all images, so the least recently used one is dropped.
        while len(self._tuners) > MOST_TUNERS:
            self._tuners.pop(next(iter(self._tuners)))
        return self._tuners[weights]

    def scores(
        self, ids: Sequence[str], weights: Weights, points: OperatingPoints
    ) -> NDArray[np.float64]:
        """Score each image of a known type, type by type: float64[N]."""
        tuner = self.tuner(weights)
        parts = [tuner.scores(own, points.of(name)) for name, own in tuner.by_type(ids).items()]
        return np.concatenate(parts)

    # ---- search ---------------------------------------------------------------------------------

    def tune(self, ids: Sequence[str], start: Choice) -> Choice:
        """Return weights and points that clearly raise the score of these images."""
        weights, points = start
        first = self.tuner(weights).tune(ids, points)
        found = self._searched(ids, weights, first)
        if found == weights:
            return weights, first
        return found, self.tuner(found).tune(ids, points)

    def _searched(self, ids: Sequence[str], start: Weights, points: OperatingPoints) -> Weights:
        """Return weights that clearly raise the score, changed family by family."""
        if len(set(self.families)) == 1:
            return start
        ordered = [each for own in self.tuner(start).by_type(ids).values() for each in own]

        def move(family: int, best: Weights) -> list[Weights]:
            return [self._changed(best, family, factor) for factor in FACTORS]

        moves = [partial(move, family) for family in sorted(set(self.families))]
        return coordinate_search(
            start, moves, lambda weights: self.scores(ids, weights, points), ordered, self.groups
        )

    def _changed(self, weights: Weights, family: int, factor: float) -> Weights:
        """Multiply the weights of one family by a factor and restore the total."""
        changed = [
            weight * factor if own == family else weight
            for weight, own in zip(weights, self.families, strict=True)
        ]
        scale = sum(weights) / sum(changed)
        return tuple(float(f"{each * scale:.6g}") for each in changed)

    # ---- gain -----------------------------------------------------------------------------------

    def run(self, seed: int = 0) -> EnsembleResult:
        """Tune on all images, and on each half to measure the gain on the other.

        Raises:
            InputError: There are fewer than two groups of images, or none has cells.
        """
        start = self.ensemble.weights, self.card.operating_points
        if not self.tuner(start[0]).by_type(self.ids):
            raise InputError(
                f"none of {len(self.ids)} images has an annotated cell: nothing to tune on", found=0
            )
        before = self._scored(dict.fromkeys(self.ids, start))
        alone = self._scored(self._crossfit(lambda ids: (start[0], self._thresholds(ids, start)),
                                            seed))  # fmt: skip
        thresholds = self._gain(before, alone, seed)
        weights, points = self.tune(self.ids, start)
        with_weights, score = None, alone
        if weights != start[0]:
            score = self._scored(self._crossfit(lambda ids: self.tune(ids, start), seed))
            base = alone if thresholds.gain > 0 else before
            with_weights = self._gain(base, score, seed)
        if with_weights is None or with_weights.gain <= 0:
            kept = self._thresholds(self.ids, start) if thresholds.gain > 0 else start[1]
            score = alone if thresholds.gain > 0 else before
            return EnsembleResult(start[0], kept, thresholds, with_weights, weights, before, score,
                                  self.out_of_fold)  # fmt: skip
        return EnsembleResult(weights, points, thresholds, with_weights, weights, before, score,
                              self.out_of_fold)  # fmt: skip

    def _thresholds(self, ids: Sequence[str], start: Choice) -> OperatingPoints:
        return self.tuner(start[0]).tune(ids, start[1])

    def _crossfit(self, tune: Callable[[tuple[str, ...]], Choice], seed: int) -> dict[str, Choice]:
        """Return, for each image, the choice that was tuned on the half without it."""
        return crossfit(
            self.ids, self.types, self.groups, tune=tune,
            score=lambda choice, held_out: dict.fromkeys(held_out, choice), seed=seed,
        )  # fmt: skip

    def _scored(self, choices: Mapping[str, Choice]) -> CompetitionScore:
        found: dict[str, Instances] = {
            image_id: self.tuner(weights).predict(image_id, points)
            for image_id, (weights, points) in choices.items()
        }
        truth = {image_id: self.truth[image_id] for image_id in self.ids}
        return competition_map(truth, found, self.types)

    def _gain(self, before: CompetitionScore, after: CompetitionScore, seed: int) -> PairedGain:
        return PairedGain.of(before.scores, after.scores, self.ids, self.groups, seed)
