"""The Sartorius challenge's metric: mean average precision over IoU thresholds 0.50 ... 0.95.

For one image and threshold it is TP / (TP + FP + FN), a hit being an IoU strictly greater than the
threshold; the score is the mean over the ten thresholds, then over images. As Kaggle defines them,
TP are the annotated cells that a predicted cell hits, FN those that none hits, and FP the predicted
cells that hit none. Predicted cells are disjoint; then no annotated cell has more than one hit, for
each hit covers more than half of it. Annotated cells may overlap: two over the same spot are both
TP by one predicted cell. (Counted one to one instead, the truth of the challenge painted into label
maps would score 0.979, not 0.980.) Cells without pixels do not exist.

Source: the evaluation page of the challenge (Sartorius - Cell Instance Segmentation, Kaggle 2021).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.bootstrap import (
    Interval,
    bootstrap_interval,
    member_of,
    weighted_interval,
)
from bigkingxxl.evaluation.compared import ComparedImages
from bigkingxxl.evaluation.pairing import ImagePair, pairs_of
from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT
from bigkingxxl.instances import Instances
from bigkingxxl.texts import counted

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
# Annotated images of the challenge by cell type: the mix that published scores stand for.
CHALLENGE_MIX: dict[str, int] = {"astro": 131, "cort": 320, "shsy5y": 155}


@dataclass(frozen=True, eq=False)
class MatchCounts:
    """Hits, false alarms and misses at each threshold; counts of several images add up.

    Attributes:
        tp, fp, fn: int64[10], one a threshold of `THRESHOLDS_PERCENT`; of many images int64[n, 10].
    """

    tp: Int64
    fp: Int64
    fn: Int64

    def __add__(self, other: MatchCounts) -> MatchCounts:
        return MatchCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def by_threshold(self) -> Float64:
        """float64[..., 10]: TP / (TP + FP + FN), 1 where nothing was to be found nor was found."""
        total = self.tp + self.fp + self.fn
        return np.where(total == 0, 1.0, self.tp / np.maximum(total, 1))

    @property
    def score(self) -> float:
        """The mean over the thresholds."""
        return float(self.by_threshold.mean())


def match_counts(truth: Instances, predicted: Instances) -> MatchCounts:
    """Hits, false alarms and misses of one image.

    Args:
        truth: the annotated cells, overlaps allowed; predicted: disjoint cells, scores ignored.

    Raises:
        InputError: predicted cells overlap, or the two are of different sizes.
    """
    return counts_of(ImagePair.of(truth, predicted))


def counts_of(pair: ImagePair) -> MatchCounts:
    """Hits, false alarms and misses of one image whose cells have been compared.

    Raises:
        InputError: predicted cells overlap.
    """
    pair.check_disjoint("the competition mAP")
    return next(_each(ComparedImages((pair,))))


def counts_of_images(images: ComparedImages) -> MatchCounts:
    """Hits, false alarms and misses of each image, int64[n, 10]; predicted cells are disjoint."""
    whole = images.whole
    first, second, pixels = whole.overlaps
    # How many thresholds an IoU exceeds, in whole numbers: of exactly a threshold it is no hit.
    levels = -((50 * whole.union - 100 * pixels) // (5 * whole.union))
    np.clip(levels, 0, len(THRESHOLDS_PERCENT), out=levels)
    tp = _hit(first, levels, images.truth_image, len(images.parts))
    hits = _hit(second, levels, images.predicted_image, len(images.parts))
    return MatchCounts(
        tp, images.predicted_counts[:, None] - hits, images.truth_counts[:, None] - tp
    )


def _hit(cell: Int64, levels: Int64, image: Int64, images: int) -> Int64:
    """int64[n, 10]: how many cells of each image are hit.

    Args:
        cell, levels: of each pair, and how many thresholds it exceeds; image: of each cell.
    """
    passed = np.zeros(len(image), np.int64)
    np.maximum.at(passed, cell, levels)
    most = len(THRESHOLDS_PERCENT) + 1
    table = np.bincount(image * most + passed, minlength=images * most).reshape(images, most)
    at_least: Int64 = np.cumsum(table[:, ::-1], axis=1)[:, ::-1]
    return at_least[:, 1:]


def _each(images: ComparedImages) -> Iterator[MatchCounts]:
    counts = counts_of_images(images)
    return (MatchCounts(*each) for each in zip(counts.tp, counts.fp, counts.fn, strict=True))


@dataclass(frozen=True, eq=False)
class ImageScore:
    """One image's part.

    Attributes:
        counts: its hits, false alarms and misses.
        predicted: how many cells are predicted.
        cell_type: the type that most of its cells have, or None.
        named: False where the predictions leave the image out, which scores 0.
    """

    counts: MatchCounts
    predicted: int
    cell_type: str | None
    named: bool = True

    @property
    def by_threshold(self) -> Float64:
        """float64[10]."""
        return self.counts.by_threshold if self.named else np.zeros(len(THRESHOLDS_PERCENT))

    @property
    def score(self) -> float:
        """The image's average precision, the mean over the thresholds."""
        return float(self.by_threshold.mean())

    @property
    def cells(self) -> int:
        """How many cells are annotated."""
        return int(self.counts.tp[0] + self.counts.fn[0])


@dataclass(frozen=True, eq=False)
class CompetitionScore:
    """The competition mAP of a set of images, at least one.

    Attributes:
        per_image: each image's part, in the order of the truth.
        seed: of the bootstrap; groups: images that it draws together, by the name of their group.
    """

    per_image: Mapping[str, ImageScore]
    seed: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def scores(self) -> dict[str, float]:
        """Each image's average precision."""
        return {image_id: part.score for image_id, part in self.per_image.items()}

    @property
    def mean(self) -> float:
        """The plain mAP: the mean over images."""
        return float(np.mean(list(self.scores.values())))

    @cached_property
    def interval(self) -> Interval:
        """95 % bootstrap interval of the mean, over groups of images; NaN where there is one."""
        values = np.array(list(self.scores.values()))
        member = member_of(list(self.scores), self.groups)
        return bootstrap_interval(values, member=member, seed=self.seed)

    @property
    def by_threshold(self) -> dict[int, float]:
        """The mean over images at each threshold in per cent."""
        return _by_threshold(self.per_image.values())

    @cached_property
    def parts_by_type(self) -> dict[str, list[ImageScore]]:
        """The images of each cell type that occurs; a type without images has no score."""
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
        """Cell type to threshold in per cent to mean over images."""
        return {kind: _by_threshold(parts) for kind, parts in self.parts_by_type.items()}

    @property
    def challenge_mix(self) -> float | None:
        """The mean by type in the challenge's own mix, or None: see `challenge_mix_note`."""
        return challenge_mix(self.by_type)

    @cached_property
    def challenge_mix_interval(self) -> Interval | None:
        """95 % bootstrap interval of the challenge mix, groups drawn within their type."""
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
        """Why there is no challenge mix, or None where there is one."""
        absent = [kind for kind in CHALLENGE_MIX if kind not in self.parts_by_type]
        return f"no scored image shows {' or '.join(absent)}" if absent else None

    @property
    def scored(self) -> tuple[str, ...]:
        """The images that the predictions name."""
        return tuple(name for name, part in self.per_image.items() if part.named)

    @property
    def missing(self) -> tuple[str, ...]:
        """The images that the predictions leave out; each counts as 0."""
        return tuple(name for name, part in self.per_image.items() if not part.named)

    @property
    def nothing(self) -> float:
        """What a prediction of no cells at all scores: the share of images that hold none."""
        return float(np.mean([part.cells == 0 for part in self.per_image.values()]))

    @property
    def nothing_note(self) -> str | None:
        """What to hold the mean against where some images hold no cells, else None."""
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
        """Everything but the single images, for JSON."""
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
    """Scores by cell type weighted to the challenge's mix; None where one of its types is absent.

    Only this stands beside published scores: shsy5y is rarer in the data than in the challenge.
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
    """Score every image of `truth`; one that `predicted` does not name scores 0.

    Args:
        truth, predicted: the cells of each image by its id; what only `predicted` names is ignored.
        cell_types: the cell type of each image, None or left out where it has none.

    Raises:
        InputError: there is no image to score, or predicted cells overlap or are of another size.
    """
    return competition_score(pairs_of(truth, predicted, cell_types), seed=seed)


def competition_score(
    pairs: Mapping[str, ImagePair], groups: Mapping[str, str] | None = None, *, seed: int = 0
) -> CompetitionScore:
    """The score of images whose cells have been compared.

    Args:
        groups: the field, well or sample of each image, which the bootstrap draws together.

    Raises:
        InputError: there is no image to score, or predicted cells overlap.
    """
    if not pairs:
        raise InputError("there is no image to score")
    for pair in pairs.values():
        pair.check_disjoint("the competition mAP")
    counts = (each for some in ComparedImages.in_parts(pairs.values()) for each in _each(some))
    parts = {
        image_id: ImageScore(each, len(pair.predicted_areas), pair.cell_type, pair.named)
        for (image_id, pair), each in zip(pairs.items(), counts, strict=True)
    }
    return CompetitionScore(parts, seed, groups or {})
