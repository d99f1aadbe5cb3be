"""A comparison of methods on the same images: scores and their paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bigkingxxl.data.groups import Groups
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.average_precision import distinguished_types
from bigkingxxl.evaluation.compared_methods import Cost, Taken
from bigkingxxl.evaluation.evaluation import UNTOLD, Evaluation, evaluate_predictions
from bigkingxxl.evaluation.scoring import Difference, difference
from bigkingxxl.evaluation.truth import Truth

STANDARD = ("map", "coco", "f1@0.5", "pq", "aji+", "counts")  # the default metrics


@dataclass(frozen=True, eq=False)
class Entry:
    """The result of one method.

    Attributes:
        name: The name of the method.
        evaluation: Its scores.
        cost: The cost of predicting; None if another program predicted.
        seen: The images on which it was trained, selected or tuned.
    """

    name: str
    evaluation: Evaluation
    cost: Cost | None
    seen: frozenset[str]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods on the same images; the first is the reference.

    Attributes:
        entries: The methods.
        ids: The images that are scored.
        notes: Sentences that a reader should know.
    """

    entries: tuple[Entry, ...]
    ids: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def differences(self) -> dict[str, list[Difference]]:
        """The difference of each other method from the reference."""
        first = self.entries[0].evaluation.scores
        return {
            entry.name: difference(entry.evaluation.scores, first) for entry in self.entries[1:]
        }

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        groups = self.entries[0].evaluation
        return {
            "images": len(self.ids),
            "groups": groups.scores.groups,
            "grouped_by": groups.groups.grouped_by,
            "methods": {entry.name: _entry(entry) for entry in self.entries},
            "differences_from": self.entries[0].name,
            "differences": {
                name: {
                    each.what.key: {"value": each.value, "interval_95": each.interval}
                    for each in found
                }
                for name, found in self.differences.items()
            },
            "notes": list(self.notes),
        }


def _entry(entry: Entry) -> dict[str, Any]:
    cost = entry.cost
    return {
        "metrics": entry.evaluation.scores.as_dict(),
        "missing": list(entry.evaluation.missing),
        "seconds_per_image": None if cost is None else cost.seconds,
        "cpu_seconds_per_image": None if cost is None else cost.cpu_seconds,
        "memory_bytes": None if cost is None else cost.memory,
        "in_sample": sorted(entry.seen),
    }


def compare(
    taken: Mapping[str, Taken],
    truth: Truth,
    ids: Sequence[str],
    groups: Groups,
    metrics: Sequence[str] = STANDARD,
) -> Comparison:
    """Score every method on the same images with the same metrics.

    Cell types are only used if the truth and all methods have them.

    Args:
        taken: The predictions of at least two methods, by name.
        truth: The annotated images.
        ids: The images to score.
        groups: The groups of images for the bootstrap.
        metrics: The names of the metrics.

    Raises:
        InputError: See `evaluate_predictions`; the message names the method.
    """
    cells = {image_id: truth.instances(image_id) for image_id in ids}
    masks = [each.predictions.masks for each in taken.values()]
    told = [distinguished_types(cells, {k: each[k] for k in ids if k in each}) for each in masks]
    types = told[0] if all(told) else ()
    entries, notes = [], list(truth.notes)
    for name, each in taken.items():
        try:
            found = evaluate_predictions(truth, each.predictions, ids, groups, metrics, types=types)
        except InputError as error:
            raise InputError(
                f"{name}: {error}", file=error.file, line=error.line, **error.details()
            ) from error
        entries.append(Entry(name, found, each.cost, each.seen))
        known = (*truth.notes, UNTOLD)
        notes += [f"{name}: {note}" for note in found.notes if note not in known]
        notes += _notes(entries[-1], len(ids))
    if any(told) and not types:
        untold = [name for name, each in zip(taken, told, strict=True) if not each]
        notes.append(
            f"cell types are ignored, because these results have none: {', '.join(untold)}"
        )
    notes += _ranked_unlike(taken)
    scored = tuple(entries[0].evaluation.pairs)
    return Comparison(tuple(entries), scored, tuple(dict.fromkeys(notes)))


def _ranked_unlike(taken: Mapping[str, Taken]) -> list[str]:
    """Return a note if COCO's AP ranks the candidates of some methods and the cells of others.

    All other metrics use the cells only.
    """
    kept = [name for name, each in taken.items() if each.predictions.ranks_kept]
    others = [name for name, each in taken.items() if each.predictions.has_candidates]
    if not kept or not others:
        return []
    sentence = (
        f"COCO's AP and AR rank all candidates of {', '.join(others)}, also the doubtful ones, but "
        f"of {', '.join(kept)} the cells that the run kept: of one model these figures differ, "
        "and no others do"
    )
    return [sentence]


def _notes(entry: Entry, images: int) -> list[str]:
    notes = []
    if entry.seen:
        notes.append(
            f"{entry.name}: in-sample, {len(entry.seen)} of {counted(images, 'image')} "
            f"{'was' if len(entry.seen) == 1 else 'were'} used to train, select or tune it"
        )
    missing = len(entry.evaluation.missing)
    if missing:
        notes.append(
            f"{entry.name}: {missing} of {counted(images, 'image')} "
            f"{'is' if missing == 1 else 'are'} not among its results and "
            f"{'counts' if missing == 1 else 'count'} as if it had found nothing"
        )
    return notes
