"""The team's insight as a table: UNETR with components is Cellpose without the flows.

    python -m benchmarks run insight --data DIR [--minutes 80] [--only NAME] [--runs DIR]

UNETR with components, watershed and flows, the compact network with flows and Cellpose, each
trained from scratch on fold 0 for the same minutes, then scored as `score_fold` does it.
Rows are kept one by one: what was trained or scored is not done again, and a broken training goes
on. (UNETR and the compact network start from ImageNet's weights, Cellpose from none.)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy.score_fold import MAPS, Fold, look, score_fold
from benchmarks.bench_cells import REAL_DATA, RESULTS
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.files import write_json, write_text
from bigkingxxl.training.recipe import load_recipe
from bigkingxxl.training.run import train

FOLD = 0
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "UNETR x components": ("unetr", ("settings.representation=components",)),
    "UNETR x watershed": ("unetr", ("settings.representation=watershed",)),
    "UNETR x flows": ("unetr", ("settings.representation=flows",)),
    "compact x flows": ("compact", ()),
    "Cellpose": ("cellpose_scratch", ()),
}
HEAD = (
    "method", "challenge-mix mAP, cross-fitted", "astro / cort / shsy5y", "before tuning",
    "minutes", "CPU s an image",
)  # fmt: skip


def result(name: str, data: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """A row, trained and scored."""
    recipe_name, changes = ROWS[name]
    out = options.runs / f"{options.minutes:g}" / name.replace(" ", "_")
    model = out / "model.safetensors"
    if not model.is_file():
        recipe = load_recipe(recipe_name, (
            *changes, f"training.max_minutes={options.minutes}", "training.epochs=1000",
            f"training.crops_per_epoch={options.crops}",
            f"training.validation_images={options.validation_images}",
        ))  # fmt: skip
        resume = (out / "checkpoints" / "last.ckpt").is_file()
        train(recipe, data, out, fold=FOLD, resume=resume)
    fold = Fold.of(data, FOLD, options.images)
    return score_fold(look(model, fold, options.maps))


def table(rows: Mapping[str, Mapping[str, Any]], minutes: float) -> str:
    """Markdown, in the order of the rows."""
    lines = [
        f"Fold {FOLD}, {minutes:g} minutes of training each, validation included.", "",
        "| " + " | ".join(HEAD) + " |", "| " + " | ".join(["---"] * len(HEAD)) + " |",
    ]  # fmt: skip
    for name in [each for each in ROWS if each in rows]:
        scores, model = rows[name]["scores"], rows[name]["model"]
        honest = scores["crossfitted"]
        types = " / ".join(
            f"{honest['by_type'].get(k, 0):.3f}" for k in ("astro", "cort", "shsy5y")
        )
        lines.append(
            f"| {name} | {honest['challenge_mix']:.3f} | {types} | "
            f"{scores['default']['challenge_mix']:.3f} | {model['minutes']:.0f} | "
            f"{rows[name]['seconds_an_image']['median']:.2f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Fill in the rows that are missing, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--minutes", type=float, default=80, help="of training, each")
    parser.add_argument("--crops", type=int, default=800, help="an epoch")
    parser.add_argument("--validation-images", type=int, default=12, help="after each epoch")
    parser.add_argument("--images", type=int, help="of the fold; default: all")
    parser.add_argument("--only", choices=ROWS, action="append")
    parser.add_argument("--runs", type=Path, default=Path("scratch/insight"))
    parser.add_argument("--maps", type=Path, default=MAPS)
    parser.add_argument("--out", type=Path, default=RESULTS / "insight.json")
    options = parser.parse_args()
    stored: dict[str, Any] = {}
    if options.out.is_file():
        stored = json.loads(options.out.read_text(encoding="utf-8"))
    rows = stored["rows"] if stored.get("minutes") == options.minutes else {}
    data = open_dataset(options.data)
    for name in options.only or ROWS:
        if name not in rows:
            rows[name] = result(name, data, options)
            write_json(options.out, {"minutes": options.minutes, "rows": rows})
    text = table(rows, options.minutes)
    write_text(options.out.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
