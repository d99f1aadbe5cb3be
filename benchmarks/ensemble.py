"""Score several models fused on the validation images of a fold, beside each alone.

    python -m benchmarks.ensemble MODEL MODEL... --data DIR --out benchmarks/results/NAME.json \
        [--weight W ...]

Every model's candidates under its own decode knobs are fused as `predict --model A --model B` does
it; thresholds of the fused candidates are tuned on one half of the fold and scored on the other,
and the reverse. What a model saw is kept, see `benchmarks.score_fold`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.score_fold import Fold, Looked, add_fold_options, describe, look, score
from bigkingxxl.candidates import Candidates
from bigkingxxl.cli.progress import track
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.groups import find_groups
from bigkingxxl.evaluation.average_precision import coco_table
from bigkingxxl.evaluation.tuning import Tuner, crossfitted_points
from bigkingxxl.inference.fusion import fuse
from bigkingxxl.models import resolve_model
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs import provenance, write_json


@dataclass
class SeenFused:
    """What several models see, fused; there are no decode knobs to tune. See `evaluation.seen`."""

    members: Sequence[Looked]
    weights: Sequence[float]
    decode_grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    decode_defaults: Mapping[str, Any] = field(default_factory=dict)
    zooms: Sequence[float] = ()
    kept: dict[str, Candidates] = field(default_factory=dict)

    def look(self, image_id: str) -> None:
        """See `Seen.look`."""
        if image_id not in self.kept:
            parts = []
            for member in self.members:
                kind = member.tuner.voted_type(image_id, member.start)
                parts.append(member.tuner.candidates(image_id, member.start.of(kind).decode))
            self.kept[image_id] = fuse(parts, self.weights)

    def decode(self, image_id: str, knobs: Mapping[str, Any]) -> Candidates:  # noqa: ARG002
        """See `Seen.decode`."""
        self.look(image_id)
        return self.kept[image_id]

    def voted_type(self, image_id: str) -> str | None:  # noqa: ARG002 (nothing to decide)
        """See `Seen.voted_type`."""
        return None


def score_ensemble(members: Sequence[Looked], weights: Sequence[float]) -> dict[str, Any]:
    """Everything measured, for JSON; a summary is printed."""
    fold, truth = members[0].fold, members[0].tuner.truth
    seen = SeenFused(members, weights)
    for image_id in track(fold.ids, label="fusing"):
        seen.look(image_id)
    tuner = Tuner(seen, truth, fold.types, find_groups(fold.data).of)
    start = OperatingPoints()
    honest = crossfitted_points(tuner, fold.ids, start)
    chose = {image_id for each in members for image_id in each.card.selected_on}
    apart = [image_id for image_id in fold.ids if image_id not in chose]

    cases = {
        "default": (fold.ids, dict.fromkeys(fold.ids, start)),
        "crossfitted": (fold.ids, honest),
        "crossfitted, images without a twin in training": (fold.without_twins, honest),
        "crossfitted, without the images that chose the checkpoint": (apart, honest),
    }
    scores = {name: score(tuner, *case, fold.types) for name, case in cases.items()}
    for name, result in scores.items():
        print(name, "challenge mix", result.challenge_mix, "plain", result.mean, result.by_type)
    return {
        **provenance(0),
        "model": joint([describe(each) for each in members]),
        "models": [describe(each) for each in members],
        "weights": list(weights),
        "fold": fold.number,
        "images": len(fold.ids),
        "images_that_chose_the_checkpoint": len(fold.ids) - len(apart),
        "scores": {name: result.as_dict() for name, result in scores.items()},
        "coco_crossfitted_knobs": coco_table(truth, seen.kept).as_dict(),
    }


def joint(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `benchmarks.leaderboard` says of a model, of all of them together."""
    return {
        "method": "ensemble",
        "minutes": sum(each["minutes"] or 0 for each in models),
        "trained_with": "; ".join(sorted({each["trained_with"] or "unknown" for each in models})),
        "trained_on_images_of_this_set": max(
            each["trained_on_images_of_this_set"] for each in models
        ),
    }


def main() -> None:
    """Parse, predict, fuse, score, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--weight", type=float, action="append", help="of each model; default 1")
    add_fold_options(parser)
    options = parser.parse_args()
    fold = Fold.of(open_dataset(options.data), options.fold)
    members = [look(resolve_model(model), fold, options.maps) for model in options.models]
    weights = options.weight or [1.0] * len(members)
    write_json(options.out, score_ensemble(members, weights))


if __name__ == "__main__":
    main()
