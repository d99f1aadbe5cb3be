"""The effect of each choice of the recipe `bundled` on cells of other laboratories.

    python -m benchmarks run travel_choices --data POOL --challenge SARTORIUS \
        [--crops 2000] [--only NAME] --out FILE
    python -m benchmarks run travel_choices --table FILE

Short trainings from the model `sartorius` differ in one choice each. Each model is scored on data
sets that no training used, with the size of cells estimated and given, and on images of the
challenge's fold 0. Variants in the file are not trained again, and an interrupted training
continues. There is one run per variant: differences of less than 0.01 may be chance.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.accuracy.travel import scored, spread
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.joined import open_datasets
from bigkingxxl.data.split import fold_ids
from bigkingxxl.files import write_json
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.model_files import read_card
from bigkingxxl.provenance import provenance
from bigkingxxl.training.recipe import load_recipe
from bigkingxxl.training.run import train

LEFT_OUT = ("vicar_qpi", "yeast_bf_colour", "nih3t3_coelho")
BASE = "the recipe"
PLAIN = {"contrast": 0.25, "brightness": 0.2, "gamma": 1.2, "noise": 0.03, "blur": 0.5,
         "stretch": 1.0, "invert": 0, "uneven": 0, "halo": 0, "debris": 0}  # fmt: skip
MAPS = "settings.representation_settings"
# The settings of each variant, whose name says what it leaves out.
VARIANTS = {
    BASE: (),
    "one diameter of cells instead of one width": (
        "augment.diameter_of=image", f"{MAPS}.width=false",
    ),
    "no map of sizes: estimated by looks": (
        "augment.diameter_of=image", f"{MAPS}.width=false", f"{MAPS}.size=false",
    ),
    "sets drawn by their number of cells": (
        "training.set_balance=1", "training.set_floor=0", "training.set_weights={}",
    ),
    "plain augmentation": tuple(f"augment.{name}={value}" for name, value in PLAIN.items()),
    "no teacher": ("teacher=null",),
    "only the challenge's images": (),
}  # fmt: skip


def main() -> None:
    """Train and score the missing variants, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of data sets")
    parser.add_argument("--challenge", type=Path, help="the challenge's images")
    parser.add_argument("--crops", type=int, default=2000, help="of each training")
    parser.add_argument("--images", type=int, default=5, help="of each set that are scored")
    parser.add_argument("--fold-images", type=int, default=9)
    parser.add_argument("--only", choices=VARIANTS, action="append")
    parser.add_argument("--runs", type=Path, default=Path("scratch/travel_choices"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="print the table of a result file")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text(encoding="utf-8"))))
        return
    found: dict[str, Any] = {"variants": {}}
    if options.out.is_file():
        found = json.loads(options.out.read_text(encoding="utf-8"))
    for name in options.only or VARIANTS:
        if name not in found["variants"]:
            model = trained(name, options)
            found["variants"][name] = score(model, options)
            write_json(options.out, {**found, **provenance(0), "crops": options.crops})
            print(row(name, found["variants"][name]), flush=True)


def trained(name: str, options: argparse.Namespace) -> Path:
    """Return the model of a variant, trained if needed."""
    out = options.runs / str(options.crops) / name.replace(" ", "_").replace(":", "")
    model: Path = out / "model.safetensors"
    if not model.is_file():
        recipe = load_recipe("bundled", (
            "training.epochs=1", f"training.crops_per_epoch={options.crops}",
            "training.averaging=0.99", "training.warmup_steps=20", "training.validation_images=3",
            "varied_images=40", "teacher.semi_supervised=false", "finish.quality_images=0",
            "finish.calibrate_images=24", "finish.export=false", *VARIANTS[name],
        ))  # fmt: skip
        sets = [options.challenge]
        if name != "only the challenge's images":
            sets += [place for place in sorted(options.data.iterdir())
                     if place.is_dir() and place.name not in LEFT_OUT]  # fmt: skip
        resume = (out / "checkpoints" / "last.ckpt").is_file()
        train(recipe, open_datasets(sets), out, fold=0, device="cpu", resume=resume)
    return model


def score(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Score a model on each data set that was left out and on fold 0 of the challenge."""
    predictor, card = load_predictor(model, "cpu")
    sets: dict[str, tuple[Dataset, tuple[str, ...]]] = {}
    for name in LEFT_OUT:
        data = open_dataset(options.data / name)
        sets[name] = data, spread(data.ids, data, options.images)
    challenge = open_dataset(options.challenge)
    sets["challenge, fold 0"] = (
        challenge,
        spread(fold_ids(challenge, 0)[1], challenge, options.fold_images),
    )
    seen = set(read_card(model).trained_on)
    assert not any(data.among(seen) & set(ids) for data, ids in sets.values())
    return {name: scored(data, ids, predictor, card) for name, (data, ids) in sets.items()}


def table(found: dict[str, Any]) -> str:
    """Format the variants as a Markdown table, with the size estimated and given."""
    names = [*LEFT_OUT, "challenge, fold 0"]
    lines = ["| variant | " + " | ".join(names) + " | size within 1.3 times |",
             "| --- |" + " --- |" * (len(names) + 1)]  # fmt: skip
    return "\n".join(lines + [row(name, each) for name, each in found["variants"].items()])


def row(name: str, sets: dict[str, Any]) -> str:
    """Format the row of a variant."""
    scores = [f"{each['estimated']:.3f} ({each['given']:.3f})" for each in sets.values()]
    near = sum(each["size_near"] * each["images"] for each in sets.values())
    return (
        f"| {name} | {' | '.join(scores)} | {near / sum(s['images'] for s in sets.values()):.0%} |"
    )


if __name__ == "__main__":
    main()
