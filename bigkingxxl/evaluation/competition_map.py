"""The metric of the Sartorius challenge: mean average precision over IoU thresholds 0.50 to 0.95.

For one image and threshold it is TP / (TP + FP + FN), where a hit is an IoU strictly greater than
the threshold. The score is the mean over the ten thresholds and then over images. As defined by
Kaggle, TP are the annotated cells that a predicted cell hits, FN those that none hits, and FP the
predicted cells that hit none. Predicted cells must be disjoint. Each hit covers more than half of
the annotated cell, so that none has more than one hit. Annotated cells may overlap: two cells at
the same place can both be hit by one predicted cell. (With one-to-one matching, the truth of the
challenge painted into label maps would score 0.979 instead of 0.980.) Cells without pixels are
ignored.

Source: the evaluation page of the challenge (Sartorius - Cell Instance Segmentation, Kaggle 2021).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.bootstrap import (
    Interval,
    bootstrap_interval,
    member_of,
    weighted_interval,
)
from bigkingxxl.evaluation.pair_batch import PairBatch
from bigkingxxl.evaluation.pairing import ImagePair, pairs_of
from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT
from bigkingxxl.instances import Instances

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
# Annotated images of the challenge by cell type: the mix that published scores stand for.
CHALLENGE_MIX: dict[str, int] = {"astro": 131, "cort": 320, "shsy5y": 155}


@dataclass(frozen=True, eq=False)
class MatchCounts:
    """TP, FP and FN at each threshold; the counts of several images can be added.

    Attributes:
        tp: int64[10], one value per threshold of `THRESHOLDS_PERCENT`; int64[n, 10] for n images.
        fp: int64[10] or int64[n, 10].
        fn: int64[10] or int64[n, 10].
    """

    tp: Int64
    fp: Int64
    fn: Int64

    def __add__(self, other: MatchCounts) -> MatchCounts:
        return MatchCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def by_threshold(self) -> Float64:
        """Compute TP / (TP + FP + FN), float64[..., 10]; 1 if there are no cells at all."""
        total = self.tp + self.fp + self.fn
        return np.where(total == 0, 1.0, self.tp / np.maximum(total, 1))

    @property
    def score(self) -> float:
        """The mean over the thresholds."""
        return float(self.by_threshold.mean())


def match_counts(truth: Instances, predicted: Instances) -> MatchCounts:
    """Count TP, FP and FN of one image.

    Args:
        truth: The annotated cells, which may overlap.
        predicted: Disjoint cells; scores are ignored.

    Raises:
        InputError: Predicted cells overlap, or the sizes differ.
    """
    return counts_of(ImagePair.of(truth, predicted))


def counts_of(pair: ImagePair) -> MatchCounts:
    """Count TP, FP and FN of one image whose cells have been compared.

    Raises:
        InputError: Predicted cells overlap.
    """
    pair.check_disjoint("the competition mAP")
    return next(_each(PairBatch((pair,))))


def counts_of_images(images: PairBatch) -> MatchCounts:
    """Count TP, FP and FN of each image, int64[n, 10]; predicted cells are disjoint."""
    whole = images.whole
    first, second, pixels = whole.overlaps
    # The number of thresholds that an IoU exceeds, in integers: an IoU of exactly a threshold is no
    # hit.
    levels = -((50 * whole.union - 100 * pixels) // (5 * whole.union))
    np.clip(levels, 0, len(THRESHOLDS_PERCENT), out=levels)
    tp = _hit(first, levels, images.truth_image, len(images.parts))
    hits = _hit(second, levels, images.predicted_image, len(images.parts))
    return MatchCounts(
        tp, images.predicted_counts[:, None] - hits, images.truth_counts[:, None] - tp
    )


def _hit(cell: Int64, levels: Int64, image: Int64, images: int) -> Int64:
    """Count the cells of each image that are hit, int64[n, 10].

    Args:
        cell: int64[K], the cell of each pair.
        levels: int64[K], the number of thresholds that each pair exceeds.
        image: int64[N], the image of each cell.
        images: The number of images.
    """
    passed = np.zeros(len(image), np.int64)
    np.maximum.at(passed, cell, levels)
    most = len(THRESHOLDS_PERCENT) + 1
    table = np.bincount(image * most + passed, minlength=images * most).reshape(images, most)
    at_least: Int64 = np.cumsum(table[:, ::-1], axis=1)[:, ::-1]
    return at_least[:, 1:]


def _each(images: PairBatch) -> Iterator[MatchCounts]:
    counts = counts_of_images(images)
    return (MatchCounts(*each) for each in zip(counts.tp, counts.fp, counts.fn, strict=True))


@dataclass(frozen=True, eq=False)
class ImageScore:
    """The score of one image.

    Attributes:
        counts: TP, FP and FN.
        predicted: The number of predicted cells.
        cell_type: The most frequent type of its cells, or None.
        named: False if the predictions do not contain the image, which then scores 0.
    """

    counts: MatchCounts
    predicted: int
    cell_type: str | None
    named: bool = True

    @property
    def by_threshold(self) -> Float64:
        """The average precision at each threshold, float64[10]."""
        return self.counts.by_threshold if self.named else np.zeros(len(THRESHOLDS_PERCENT))

    @property
    def score(self) -> float:
        """The average precision of the image, the mean over the thresholds."""
        return float(self.by_threshold.mean())

    @property
    def cells(self) -> int:
        """The number of annotated cells."""
        return int(self.counts.tp[0] + self.counts.fn[0])


@dataclass(frozen=True, eq=False)
class CompetitionScore:
    """The competition mAP of one or more images.

    Attributes:
        per_image: The score of each image, in the order of the truth.
        seed: The seed of the bootstrap.
        groups: The group of each image; the bootstrap draws complete groups.
    """

    per_image: Mapping[str, ImageScore]
    seed: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def scores(self) -> dict[str, float]:
        """The average precision of each image."""
        return {image_id: part.score for image_id, part in self.per_image.items()}

    @property
    def mean(self) -> float:
        """The plain mAP: the mean over images."""
        return float(np.mean(list(self.scores.values())))

    @cached_property
    def interval(self) -> Interval:
        """The 95 % bootstrap interval of the mean over groups of images; NaN for one group."""
        values = np.array(list(self.scores.values()))
        member = member_of(list(self.scores), self.groups)
        return bootstrap_interval(values, member=member, seed=self.seed)

    @property
    def by_threshold(self) -> dict[int, float]:
        """The mean over images at each threshold in per cent."""
        return _by_threshold(self.per_image.values())

    @cached_property
    def parts_by_type(self) -> dict[str, list[ImageScore]]:
        """The images of each cell type that occurs."""
        kinds = sorted({part.cell_type for part in self.per_image.values() if part.cell_type})
        return {
            kind: [part for part in self.per_image.values() if part.cell_type == kind]
            for kind in kinds
        }

    @property
    def by_type(self) -> dict[str, float]:
        """The mean over the images of each cell type that occurs."""
        return {
            kind: float(np.mean([part.score for part in parts]))
            for kind, parts in self.parts_by_type.items()
        }

    @property
    def by_type_and_threshold(self) -> dict[str, dict[int, float]]:
        """The mean over images by cell type and threshold in per cent."""
        return {kind: _by_threshold(parts) for kind, parts in self.parts_by_type.items()}

    @property
    def challenge_mix(self) -> float | None:
        """The mean by type in the proportions of the challenge; see `challenge_mix_note`."""
        return challenge_mix(self.by_type)

    @cached_property
    def challenge_mix_interval(self) -> Interval | None:
        """The 95 % bootstrap interval of the challenge mix; groups are drawn within types."""
        if self.challenge_mix is None:
            return None
        members = {
            kind: member_of(
                [name for name, part in self.per_image.items() if part.cell_type == kind],
                self.groups,
            )
            for kind in CHALLENGE_MIX
        }
        strata = {
            kind: np.array([part.score for part in self.parts_by_type[kind]])
            for kind in CHALLENGE_MIX
        }
        return weighted_interval(strata, CHALLENGE_MIX, members=members, seed=self.seed)

    @property
    def challenge_mix_note(self) -> str | None:
        """Why there is no challenge mix, or None if there is one or no type of it occurs."""
        absent = [kind for kind in CHALLENGE_MIX if kind not in self.parts_by_type]
        if len(absent) in (0, len(CHALLENGE_MIX)):
            return None
        return f"no scored image shows {' or '.join(absent)}"

    @property
    def scored(self) -> tuple[str, ...]:
        """The images that the predictions contain."""
        return tuple(name for name, part in self.per_image.items() if part.named)

    @property
    def missing(self) -> tuple[str, ...]:
        """The images that the predictions do not contain; each scores 0."""
        return tuple(name for name, part in self.per_image.items() if not part.named)

    @property
    def nothing(self) -> float:
        """The score of predicting no cells at all: the fraction of images without cells."""
        return float(np.mean([part.cells == 0 for part in self.per_image.values()]))

    @property
    def nothing_note(self) -> str | None:
        """A note on the score of empty predictions if some images have no cells, else None."""
        if self.nothing == 0:
            return None
        empty = sum(part.cells == 0 for part in self.per_image.values())
        return (
            f"{empty} of {counted(len(self.per_image), 'image')} "
            f"{'holds' if empty == 1 else 'hold'} no annotated cells and "
            f"{'scores' if empty == 1 else 'score'} 1 where "
            f"none is predicted: no prediction at all has a competition mAP of {self.nothing:.4f}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything except the single images, for JSON."""
        return {
            "competition_map": self.mean,
            "interval_95": list(self.interval),
            "challenge_mix": self.challenge_mix,
            "challenge_mix_interval_95": self.challenge_mix_interval,
            "challenge_mix_note": self.challenge_mix_note,
            "nothing_predicted": self.nothing,
            "by_type": self.by_type,
            "images_by_type": {kind: len(parts) for kind, parts in self.parts_by_type.items()},
            "by_threshold": self.by_threshold,
            "by_type_and_threshold": self.by_type_and_threshold,
            "images": len(self.per_image),
            "scored": len(self.scored),
            "missing": list(self.missing),
        }


def _by_threshold(parts: Iterable[ImageScore]) -> dict[int, float]:
    means = np.mean([part.by_threshold for part in parts], axis=0)
    return dict(zip(THRESHOLDS_PERCENT, means.tolist(), strict=True))


def challenge_mix(by_type: Mapping[str, float]) -> float | None:
    """Average scores by cell type in the proportions of the challenge; None if a type is missing.

    Only this value is comparable with published scores: shsy5y is rarer in the data than in the
    challenge.
    """
    if not by_type.keys() >= CHALLENGE_MIX.keys():
        return None
    total = sum(CHALLENGE_MIX.values())
    return sum(weight * by_type[kind] for kind, weight in CHALLENGE_MIX.items()) / total


def competition_map(
    truth: Mapping[str, Instances],
    predicted: Mapping[str, Instances],
    cell_types: Mapping[str, str | None],
    *,
    seed: int = 0,
) -> CompetitionScore:
    """Score every image of `truth`; an image that is not in `predicted` scores 0.

    Args:
        truth: The annotated cells of each image by its id.
        predicted: The predicted cells of each image by its id; images that are not in `truth` are
            ignored.
        cell_types: The cell type of each image, None or missing if it has none.
        seed: The seed of the bootstrap.

    Raises:
        InputError: There is no image to score, or predicted cells overlap or have another size.
    """
    return competition_score(pairs_of(truth, predicted, cell_types), seed=seed)


def competition_score(
    pairs: Mapping[str, ImagePair], groups: Mapping[str, str] | None = None, *, seed: int = 0
) -> CompetitionScore:
    """Compute the score of images whose cells have been compared.

    Args:
        pairs: The compared images.
        groups: The field, well or sample of each image; the bootstrap draws complete groups.
        seed: The seed of the bootstrap.

    Raises:
        InputError: There is no image to score, or predicted cells overlap.
    """
    if not pairs:
        raise InputError("there is no image to score")
    for pair in pairs.values():
        pair.check_disjoint("the competition mAP")
    counts = (each for some in PairBatch.in_parts(pairs.values()) for each in _each(some))
    parts = {
        image_id: ImageScore(each, len(pair.predicted_areas), pair.cell_type, pair.named)
        for (image_id, pair), each in zip(pairs.items(), counts, strict=True)
    }
    return CompetitionScore(parts, seed, groups or {})
