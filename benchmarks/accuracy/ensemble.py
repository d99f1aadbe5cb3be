"""Score several models fused on the validation images of a fold, beside each alone.

    python -m benchmarks run ensemble MODEL MODEL... --data DIR --out benchmarks/results/NAME.json \
        [--weight W ...]

Models are joined as `predict --model A --model B` does it: the maps of dense models that make the
same ones are averaged, and candidates, each under its model's decoding parameters, are fused.
Thresholds of the fused candidates are tuned on one half of the fold and scored on the other, and
the reverse. What a model saw is kept, see `score_fold`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.score_fold import Fold, Looked, add_fold_options, describe, look, score
from bigkingxxl.candidates import Candidates
from bigkingxxl.cli.progress import track
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.groups import find_groups
from bigkingxxl.evaluation.average_precision import coco_table
from bigkingxxl.evaluation.prediction_cache import MapCache
from bigkingxxl.evaluation.tuning import Tuner, crossfitted_points
from bigkingxxl.files import write_json
from bigkingxxl.geometry import resize
from bigkingxxl.inference.fusion import fuse
from bigkingxxl.inference.mean_maps import MeanMaps, alike
from bigkingxxl.models import resolve_model
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.provenance import provenance


class MeanCache(MapCache):
    """What several dense models see, averaged as by `inference.mean_maps`."""

    def __init__(self, parts: Sequence[MapCache], weights: Sequence[float]) -> None:
        mean = MeanMaps.of([part.predictor for part in parts], weights)
        super().__init__(mean, parts[0].source, parts[0].folder)
        self.parts, self.shares = parts, np.asarray(weights, np.float32) / sum(weights)

    def maps(self, image_id: str, zoom: float = 1.0) -> NDArray[np.float32]:
        """See `MapCache.maps`."""
        found = [part.maps(image_id, zoom) for part in self.parts]
        size = found[0].shape[1:]
        total: NDArray[np.float32] = sum(
            share * resize(maps, (size[0], size[1]))
            for share, maps in zip(self.shares, found, strict=True)
        )
        return total


@dataclass
class FusedCache:
    """What several models see, fused; there are no decoding parameters to tune.

    See `evaluation.prediction_cache`.
    """

    members: Sequence[Looked]
    weights: Sequence[float]
    decode_grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    decode_defaults: Mapping[str, Any] = field(default_factory=dict)
    zooms: Sequence[float] = ()
    kept: dict[str, Candidates] = field(default_factory=dict)

    def predict(self, image_id: str) -> None:
        """See `PredictionCache.predict`."""
        if image_id not in self.kept:
            parts = []
            for member in self.members:
                kind = member.tuner.voted_type(image_id, member.start)
                parts.append(member.tuner.candidates(image_id, member.start.of(kind).decode))
            self.kept[image_id] = fuse(parts, self.weights)

    def decode(self, image_id: str, parameters: Mapping[str, Any]) -> Candidates:  # noqa: ARG002
        """See `PredictionCache.decode`."""
        self.predict(image_id)
        return self.kept[image_id]

    def voted_type(self, image_id: str) -> str | None:  # noqa: ARG002 (nothing to decide)
        """See `PredictionCache.voted_type`."""
        return None


def joined(members: Sequence[Looked], weights: Sequence[float]) -> tuple[list[Looked], list[float]]:
    """The models and their weights, those that make the same maps as one; see `load_ensemble`."""
    groups: list[list[int]] = []
    for place, member in enumerate(members):
        for group in groups:
            if alike(members[group[0]].predictor, member.predictor):
                group.append(place)
                break
        else:
            groups.append([place])
    return (
        [_mean([members[i] for i in group], [weights[i] for i in group]) for group in groups],
        [sum(weights[i] for i in group) / len(group) for group in groups],
    )


def _mean(members: Sequence[Looked], weights: Sequence[float]) -> Looked:
    first, parts = members[0], [member.tuner.cache for member in members]
    maps = [part for part in parts if isinstance(part, MapCache)]
    if len(members) == 1:
        return first
    tuner = Tuner(MeanCache(maps, weights), first.tuner.truth, first.fold.types, first.tuner.groups)
    return replace(first, tuner=tuner)


def score_ensemble(members: Sequence[Looked], weights: Sequence[float]) -> dict[str, Any]:
    """Everything measured, for JSON; a summary is printed."""
    fold, truth = members[0].fold, members[0].tuner.truth
    seen = FusedCache(*joined(members, weights))
    for image_id in track(fold.ids, label="fusing"):
        seen.predict(image_id)
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
    """What `leaderboard` says of a model, of all of them together."""
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
