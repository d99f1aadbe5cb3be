"""The results table: every method on one fold of the real data, beside published scores.

    python -m benchmarks run leaderboard --data DIR NAME=MODEL ... [--readme README.md]

Each model is scored as by `score_fold`, from cached maps if they exist; a result file of
`score_fold` (.json) is accepted as it is. Rows of models that are not named are kept, so that one
model can be added or scored again. Without models only the tables are written again: the long one
beside the results, and the short one, with the rows that have a `brief` name, between
`<!-- leaderboard -->` and `<!-- /leaderboard -->` in the README.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.score_fold import MAPS, Fold, predict_fold, score_fold
from benchmarks.harness import RESULTS
from benchmarks.harness import markdown as markdown_table
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.errors import InputError
from bigkingxxl.files import write_json, write_text
from bigkingxxl.model_files import resolve_model

START, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"
ENOUGH_MINUTES = 100  # on CPUs; with less the training of a method is only a trial
DETECTIONS = (100, 2000)
COCO = "coco_crossfitted_knobs"
COCO_LINES = (("AP", None), ("AP", 50), ("AP", 75))
# The team's own scores, COCO mask AP / AP50 / AP75 at 100 detections per image.
TEAM = {"Cascade R50": (0.180, 0.400, 0.132), "Swin": (0.142, 0.349, 0.083)}
# Public scores of the challenge (competition mAP on its hidden test images), from its write-ups.
PUBLIC = {
    "plain U-Net with components": "0.04 to 0.15",
    "Mask R-CNN R50": "0.273",
    "Mask R-CNN R50, thresholds by cell type": "0.294",
    "Mask R-CNN R50, tuned; five folds": "0.320; 0.332",
    "Cellpose, tuned": "0.307, 0.333",
    "Cascade ResNeSt": "0.336",
    "the winner (private board)": "0.356",
}
BRIEF = ("method", "mAP", "training", "CPU seconds per image")
HEAD = (
    "method", "challenge-mix mAP, cross-fitted", "plain", "astro / cort / shsy5y",
    "before tuning", "without twins", "COCO AP / AP50 / AP75 at 100", "at 2,000",
    "training", "CPU s per image", "remarks",
)  # fmt: skip


def main() -> None:
    """Score the named models, then write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="NAME=MODEL")
    parser.add_argument("--data", type=Path, help="the annotated images; needed to score models")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--maps", type=Path, default=MAPS, help="folder to keep maps in")
    parser.add_argument("--out", type=Path, default=RESULTS / "leaderboard.json")
    parser.add_argument("--note", action="append", default=[], metavar="NAME=TEXT")
    parser.add_argument("--readme", type=Path, help="replace the short table in this file")
    options = parser.parse_args()
    rows = {row["name"]: row for row in stored_rows(options.out)}
    notes = dict(named(text) for text in options.note)
    for name, model in map(named, options.models):
        rows[name] = {"name": name, **result_of(model, options)}
        write_json(options.out, {"rows": list(rows.values())})
    for name, note in notes.items():
        if name not in rows:
            raise InputError(f"--note {name}: no row of that name in {options.out}")
        rows[name]["note"] = note
    write_json(options.out, {"rows": list(rows.values())})
    text = whole(list(rows.values()))
    write_text(options.out.with_suffix(".md"), text)
    if options.readme is not None:
        put_into(options.readme, brief(list(rows.values())))
    print(text)


def result_of(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the result of `score_fold`, computed or stored."""
    if model.endswith(".json"):
        stored: dict[str, Any] = json.loads(Path(model).read_text(encoding="utf-8"))
        return stored
    if options.data is None:
        raise InputError("--data is missing: the models named have to be scored on something")
    fold = Fold.of(open_dataset(options.data), options.fold)
    return score_fold(predict_fold(resolve_model(model), fold, options.maps))


def named(text: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"'{text}', expected NAME=VALUE")
    return name, value


def stored_rows(path: Path) -> list[dict[str, Any]]:
    """Read the stored rows."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def put_into(readme: Path, table: str) -> None:
    """Replace the text between the marks.

    Raises:
        InputError: The marks are missing.
    """
    text = readme.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise InputError(f"{readme} has no place for the table, expected {START} and {END}")
    write_text(readme, f"{before}{start}\n{table}{end}{after}")


def whole(rows: Sequence[dict[str, Any]]) -> str:
    """Format the long table, best first, with an explanation of its columns."""
    ranked = sorted(rows, key=lambda row: -_mix(row))
    lines = [_cells(row) for row in ranked]
    for name, values in TEAM.items():
        scores = " / ".join(f"{value:.3f}" for value in values)
        lines.append([f"the team's {name}", *[""] * 5, scores, "", "", "",
                     "published by the team, on its own validation split"])  # fmt: skip
    lines += [
        [f"public: {name}", score, *[""] * 8, "hidden test images, other hands"]
        for name, score in PUBLIC.items()
    ]
    return "\n".join([markdown_table(HEAD, lines), "", *_explained(ranked), ""])


def brief(rows: Sequence[dict[str, Any]]) -> str:
    """Format the short table: the rows with a brief name, best first."""
    medians = {row["name"]: row.get("seconds_an_image", {}).get("median") for row in rows}
    cells = []
    for row in sorted(rows, key=lambda row: -_mix(row)):
        if "brief" not in row:
            continue
        # The time of a network does not depend on the duration of its training.
        seconds = medians[row["brief"].get("as_fast_as", row["name"])]
        cells.append((row["brief"]["name"], _number(_mix(row)), row["brief"]["training"],
                      "-" if seconds is None else f"{seconds:.1f}"))  # fmt: skip
    return markdown_table(BRIEF, cells) + "\n"


def _mix(row: dict[str, Any]) -> float:
    score = row["scores"]["crossfitted"]
    mix = score["challenge_mix"]
    return float(score["competition_map"] if mix is None else mix)


def _cells(row: dict[str, Any]) -> list[str]:
    """Format the row of a model."""
    scores, model = row["scores"], row["model"]
    honest = scores["crossfitted"]
    types = (honest["by_type"].get(kind) for kind in ("astro", "cort", "shsy5y"))
    apart = scores["crossfitted, images without a twin in training"]
    return [
        row["name"],
        _with_interval(honest["challenge_mix"], honest["challenge_mix_interval_95"]),
        _number(honest["competition_map"]),
        " / ".join(_number(value) for value in types),
        _number(scores["default"]["challenge_mix"]),
        f"{_number(apart['challenge_mix'])} ({apart['images']} images)",
        *(_coco(row[COCO if COCO in row else "coco_default_knobs"], most) for most in DETECTIONS),
        _training(model),
        _number(row.get("seconds_an_image", {}).get("median")),
        "; ".join(_remarks(row)),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if interval is None:
        return _number(value)
    return f"{_number(value)} ({interval[0]:.3f} to {interval[1]:.3f})"


def _coco(table: dict[str, Any], most: int) -> str:
    values = {
        (row["metric"], row["iou"]): row["value"]
        for row in table["rows"]
        if row["area"] == "all" and row["max_detections"] == most
    }
    return " / ".join(_number(values[line]) for line in COCO_LINES)


def _training(model: dict[str, Any]) -> str:
    minutes = "" if model["minutes"] is None else f"{model['minutes']:.0f} min, "
    return f"{minutes}{model.get('trained_with') or 'device unknown'}"


def _remarks(row: dict[str, Any]) -> list[str]:
    """Return what a reader should know before comparing."""
    model, minutes = row["model"], row["model"]["minutes"]
    found = []
    if minutes is not None and minutes < ENOUGH_MINUTES:
        found.append("**short training**")
    if model.get("trained_on_images_of_this_set") == 0:
        found.append("trained on no image of this data")
    if row.get("images_that_chose_the_checkpoint"):
        apart = row["scores"]["crossfitted, without the images that chose the checkpoint"]
        found.append(
            f"{row['images_that_chose_the_checkpoint']} images of the fold chose its checkpoint, "
            f"{_number(apart['challenge_mix'])} without them"
        )
    if COCO not in row:
        found.append("COCO's figures under its first parameters")
    return [*found, *([row["note"]] if "note" in row else [])]


def _explained(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    row = rows[0]
    threads = sorted({each["seconds_an_image"]["threads"] for each in rows
                      if "seconds_an_image" in each})  # fmt: skip
    sentence = (
        f"Fold {row['fold']}, {row['images']} images. Cross-fitted: parameters tuned on one half "
        "of the fold and scored on the other, and the reverse; in brackets 95 % bootstrap "
        "intervals over images. Before tuning: challenge mix with the model's first parameters. "
        "Without twins: over the images whose pixels match no training image. COCO's figures are "
        "of all candidates under cross-fitted decoding parameters. CPU seconds per image of "
        "704 x 520: from the opened image to its cells"
        f"{', threads: ' if threads else ''}{', '.join(map(str, threads))}. Only the challenge mix "
        "stands beside public scores."
    )
    return [sentence]


if __name__ == "__main__":
    main()
