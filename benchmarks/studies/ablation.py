"""The effect of each choice: at prediction with a given model, and in training.

    python -m benchmarks run ablation MODEL --data DIR --name NAME [--images 24]
    python -m benchmarks run ablation --training benchmarks/results/train_step.json ...

The first command scores a model on fold 0 (or a subset with even cell types) at other scales, with
flips, in tiles and as a whole, with its own and with cross-fitted operating points. Each variant is
compared with the model's own settings by the paired gain and its interval; an interrupted run
continues. The second command reads files with `change`, `measure`, `before`, `after` and optionally
`ratio`, as `train_step` writes them. Both write to `ablation.json`, from which the tables of
`ablation.md` are made; a run with the same name, or a change with the same description, replaces
the earlier one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.score_fold import MAPS, Fold, PredictedFold, predict_fold
from benchmarks.harness import RESULTS, evenly_by_type
from benchmarks.harness import markdown as markdown_table
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.bootstrap import weighted_interval
from bigkingxxl.evaluation.competition_map import (
    CHALLENGE_MIX,
    CompetitionScore,
    challenge_mix,
)
from bigkingxxl.evaluation.tuning import crossfitted_points
from bigkingxxl.files import write_json, write_text
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.model_files import model_hash, read_card, resolve_model
from bigkingxxl.provenance import provenance
from bigkingxxl.test_time_augmentation import EARLIER, view_count

SCALES = (1.0, 1.5, 2.0)
FLIPS = (1, 2, 4)
TILES = {"tiles of 512": 512, "in one piece": 2048}
OWN = "the model's own settings"
TIMED = 2
TABLE = ("variant", "challenge mix", "gain (95 %)", "astro / cort / shsy5y",
         "cross-fitted parameters", "CPU s per image, network")  # fmt: skip


def main() -> None:
    """Score the variants, or add the trainings, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--name", help="of the run in the table (default: the model's)")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--images", type=int, help="how many of the fold (default: all)")
    parser.add_argument("--crossfit", action="store_true", help="tune for every variant")
    parser.add_argument("--maps", type=Path, default=MAPS, help="folder to keep maps in")
    parser.add_argument("--training", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--out", type=Path, default=RESULTS / "ablation.json")
    options = parser.parse_args()
    stored: dict[str, Any] = {"prediction": [], "training": []}
    if options.out.is_file():
        stored = json.loads(options.out.read_text(encoding="utf-8"))
    if options.model is not None:
        for run in prediction_run(options, stored["prediction"]):
            kept = [each for each in stored["prediction"] if each["name"] != run["name"]]
            stored["prediction"] = [*kept, run]
            write(options.out, stored)
    for path in options.training:
        row = {**training_row(path), "file": path.name}
        kept = [each for each in stored["training"] if each["change"] != row["change"]]
        stored["training"] = [*kept, row]
    write(options.out, stored)


def write(out: Path, stored: Mapping[str, Any]) -> None:
    """Write both files atomically."""
    write_json(out, stored)
    write_text(out.with_suffix(".md"), markdown(stored))


def training_row(path: Path) -> dict[str, Any]:
    """Read the result of a training benchmark.

    Raises:
        InputError: The file does not exist, or a value is missing.
    """
    try:
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error})") from error
    missing = [key for key in ("change", "measure", "before", "after") if key not in row]
    if missing:
        raise InputError(f"{path} has no '{missing[0]}', which a change in training needs")
    return row


def variants(own: PredictionSettings) -> dict[str, PredictionSettings]:
    """Return settings by name, each of which differs from the model's own in one value."""
    found = {OWN: own}
    found |= {f"scale {scale:g}": own.changed(scale=scale) for scale in SCALES}
    found |= {f"flips: {flips}": own.changed(tta=EARLIER[flips]) for flips in FLIPS}
    found |= {name: own.changed(tile=tile) for name, tile in TILES.items()}
    return {name: settings for name, settings in found.items() if name == OWN or settings != own}


def prediction_run(
    options: argparse.Namespace, before: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the run after each variant and print it; existing scores are reused."""
    if options.data is None:
        raise InputError("--data is missing: the model has to be scored on something")
    path = resolve_model(options.model)
    card = read_card(path)
    fold = Fold.of(open_dataset(options.data), options.fold, options.images)
    run: dict[str, Any] = {
        **provenance(0),
        "name": options.name or path.stem,
        "model": model_hash(path),
        "settings": card.prediction.model_dump(),
        "fold": options.fold,
        "images": {kind: list(fold.types.values()).count(kind) for kind in CHALLENGE_MIX},
    }
    same = ("name", "model", "settings", "fold", "images")
    done = [each for each in before if all(each[key] == run[key] for key in same)]
    stored = {row["variant"]: row for each in done for row in each["rows"]}
    tried = variants(card.prediction)
    for name, settings in tried.items():
        row = stored.get(name)
        if row is None or (options.crossfit and row["crossfitted"] is None):
            own = stored[OWN]["by_image"] if OWN in stored else None
            predicted = predict_fold(path, fold, options.maps, settings)
            stored[name] = variant_row(name, predicted, own, options.crossfit)
        print(line(stored[name]), flush=True)
        yield {**run, "rows": [stored[each] for each in tried if each in stored]}


def variant_row(
    name: str, predicted: PredictedFold, own: Mapping[str, float] | None, crossfit: bool
) -> dict[str, Any]:
    """Score a variant, compared with the model's own settings (None: these are they)."""
    ids = predicted.fold.ids
    score = predicted.score(ids, dict.fromkeys(ids, predicted.start))
    own = score.scores if own is None else own
    honest = None
    if name == OWN or crossfit:
        points = crossfitted_points(predicted.tuner, ids, predicted.start)
        honest = scores(predicted.score(ids, points), own)
    return {
        "variant": name,
        **scores(score, own),
        "by_image": score.scores,
        "crossfitted": honest,
        "seconds_an_image_network": seconds_an_image(predicted),
    }


def scores(score: CompetitionScore, own: Mapping[str, float]) -> dict[str, Any]:
    """Compute the challenge mix and its paired gain over the model's own settings.

    Args:
        score: The score.
        own: The score of each image with the model's own settings.
    """
    gains = {
        kind: np.array([
            part - own[image_id]
            for image_id, part in score.scores.items()
            if score.per_image[image_id].cell_type == kind
        ])
        for kind in CHALLENGE_MIX
    }  # fmt: skip
    if any(len(each) == 0 for each in gains.values()):
        raise InputError(f"an ablation needs images of {', '.join(CHALLENGE_MIX)}")
    return {
        "challenge_mix": score.challenge_mix,
        "gain": challenge_mix({kind: float(each.mean()) for kind, each in gains.items()}),
        "gain_95": weighted_interval(gains, CHALLENGE_MIX),
        "by_type": score.by_type,
    }


def seconds_an_image(predicted: PredictedFold) -> float:
    """Return the mean processor seconds of the network for a few images, with flips and tiles."""
    seconds, predictor = [], predicted.predictor
    see = predictor.maps if isinstance(predictor, DensePredictor) else predictor.candidates
    for image_id in evenly_by_type(predicted.fold.data, predicted.fold.ids, TIMED):
        source = predicted.fold.data.source(image_id)
        began = time.process_time()
        see(source)
        seconds.append(time.process_time() - began)
    return float(np.mean(seconds))


def line(row: Mapping[str, Any]) -> list[str]:
    """Format the row of a variant."""
    honest = row["crossfitted"]
    types = " / ".join(f"{row['by_type'].get(kind, 0):.3f}" for kind in CHALLENGE_MIX)
    return [
        row["variant"],
        f"{row['challenge_mix']:.3f}",
        "" if row["variant"] == OWN else _gain(row),
        types,
        "" if honest is None else f"{honest['challenge_mix']:.3f}, {_gain(honest)}",
        f"{row['seconds_an_image_network']:.2f}",
    ]


def _gain(scores: Mapping[str, Any]) -> str:
    low, high = scores["gain_95"]
    return f"{scores['gain']:+.3f} ({low:+.3f} to {high:+.3f})"


def markdown(stored: Mapping[str, Any]) -> str:
    """Format both kinds of tables."""
    lines = ["# What each choice is worth", ""]
    lines += [
        "Made by `python -m benchmarks run ablation`; gains in the challenge-mix mAP.",
        "",
    ]
    for run in stored["prediction"]:
        images = ", ".join(f"{count} {kind}" for kind, count in run["images"].items())
        settings = run["settings"]
        views = settings.get("flips") or view_count(settings["tta"])
        sentence = (
            f"Model {run['model']}, fold {run['fold']}, {images} images; its own settings: scale "
            f"{settings['scale']:g}, flips {views}, tiles of {settings['tile']}. "
            f"{run['device']}, other jobs beside it, {run['date'][:10]}. Cross-fitted parameters: "
            "tuned on the other half of these images; their gain is above the first line."
        )
        lines += [
            f"## At prediction: {run['name']}",
            "",
            sentence,
            "",
            markdown_table(TABLE, map(line, run["rows"])),
            "",
        ]
    if stored["training"]:
        header = ("change", "measured", "before", "after", "effect", "file")
        rows = markdown_table(header, map(training_line, stored["training"]))
        lines += ["## In training", "", rows, ""]
    return "\n".join(lines)


def training_line(row: Mapping[str, Any]) -> list[str]:
    """Format the row of a change."""
    effect = f"{row['after'] - row['before']:+.3f}"
    if "ratio" in row:
        effect = f"{row['ratio']:.2f} times"
    return [
        row["change"], row["measure"], f"{row['before']:.3f}", f"{row['after']:.3f}", effect,
        f"[{row['file']}]({row['file']})",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
