"""The evaluation of predictions with any metrics, which `evaluate`, `compare` and reports show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bigkingxxl.data.groups import Groups
from bigkingxxl.evaluation.average_precision import (
    CocoTable,
    distinguished_types,
    table_of,
    type_names,
)
from bigkingxxl.evaluation.competition_map import CompetitionScore, competition_score
from bigkingxxl.evaluation.grouping import frames_note
from bigkingxxl.evaluation.metrics.registry import STANDARD, find_metrics
from bigkingxxl.evaluation.pairing import ImagePair, pairs_of
from bigkingxxl.evaluation.partial_annotation import without_ignored
from bigkingxxl.evaluation.predictions import Predictions
from bigkingxxl.evaluation.scoring import Scores, score_pairs
from bigkingxxl.evaluation.truth import Truth, majority_type

COLLAPSED = (
    "all images are of one field, well or sample, so the variation of the scores is unknown: "
    "there are no intervals"
)
TYPED = ("pq-type", "coco")  # metrics that distinguish cell types
UNTOLD = (
    "the predictions tell no cell types, or none of the truth's: COCO's AP is of all cells as one, "
    "and there is no PQ by type"
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a set of predictions.

    Attributes:
        pairs: The compared images.
        groups: The group of each image.
        scores: The scores of the requested metrics.
        notes: Sentences that a reader of the scores should know.
    """

    pairs: dict[str, ImagePair]
    groups: Groups
    scores: Scores
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The images that the predictions do not contain."""
        return tuple(name for name, pair in self.pairs.items() if not pair.named)

    @property
    def is_disjoint(self) -> bool:
        """Whether no predicted cells overlap, as the competition requires."""
        return all(pair.clash is None for pair in self.pairs.values())

    @cached_property
    def competition(self) -> CompetitionScore:
        """The competition mAP."""
        return competition_score(self.pairs, self.groups.of, seed=self.scores.seed)

    @cached_property
    def coco(self) -> CocoTable:
        """COCO's average precision and recall."""
        named = {image_id: pair for image_id, pair in self.pairs.items() if pair.named}
        return table_of(
            {image_id: pair.truth for image_id, pair in self.pairs.items()},
            {image_id: pair.scored for image_id, pair in named.items()},
            {image_id: pair.scored_overlaps for image_id, pair in named.items()},
        )


def evaluate_predictions(
    annotated: Truth,
    found: Predictions,
    chosen: Sequence[str],
    groups: Groups,
    metrics: Sequence[str] = STANDARD,
    *,
    types: Sequence[str] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Score predictions on some images of the truth.

    Args:
        annotated: The annotated images.
        found: The predictions; a missing image has no predicted cells.
        chosen: The ids of the images to score.
        groups: The groups of images for the bootstrap.
        metrics: Names; see `metrics.registry.find_metrics`.
        types: The cell types to distinguish; by default those of both truth and predictions.
        seed: The seed of the bootstrap.

    Raises:
        InputError: No image is chosen, a metric is unknown, the sizes of an image differ, or
            predicted cells overlap although a metric forbids it.
    """
    cells = {image_id: annotated.instances(image_id) for image_id in chosen}
    shown = {image_id: majority_type(each) for image_id, each in cells.items()}
    cells, disjoint, note = without_ignored(cells, found.cells, annotated.ignored)
    masks = disjoint
    if found.masks is not found.cells:
        masks = without_ignored(cells, found.masks, annotated.ignored)[1]
    if types is None:
        types = distinguished_types(cells, {name: masks[name] for name in cells if name in masks})
    wanted = find_metrics(metrics, types)
    pairs = pairs_of(cells, disjoint, shown, masks=masks, ignored_of=annotated.ignored)
    scores = score_pairs(pairs, wanted, groups.of, seed=seed)
    notes = [*annotated.notes, *found.notes, *([note] if note else [])]
    if scores.groups < 2 < len(pairs):
        notes.append(COLLAPSED)
    frames = frames_note(list(pairs), groups)
    if frames is not None:
        notes.append(frames)
    if not types and len(type_names(cells)) > 1 and any(m.name in TYPED for m in wanted):
        notes.append(UNTOLD)
    return Evaluation(pairs, groups, scores, tuple(notes))
