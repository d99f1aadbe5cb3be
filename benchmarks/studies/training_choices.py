"""What a choice in training is worth: short trainings that differ in nothing else.

    python -m benchmarks run training_choices --data DIR [--crops 6000] [--only NAME]
    python -m benchmarks run ablation --training benchmarks/results/choice_*.json

The compact network with flows from the synthetic model, on fold 0, the same crops in number and
order; all 91 images of the fold are scored under default thresholds. Each variant goes into a file
that `ablation` takes in: `before` is the recipe without the choice, `after` with it. A
variant that was trained is not trained again, and a broken training goes on. One run each: gains of
less than 0.01 may be chance.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.accuracy.score_fold import MAPS, Fold, look
from benchmarks.bench_cells import REAL_DATA, RESULTS
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.files import write_json
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.provenance import provenance
from bigkingxxl.training.recipe import load_recipe
from bigkingxxl.training.run import train

FOLD, EPOCHS = 0, 3
BASE = "with every choice"
# What each variant leaves out, and how the choice is called.
WITHOUT = {
    "label_policy": ("gaps inside annotated cells filled in training labels",
                     ("training.label_policy=as_annotated",)),
    "type_balance": ("cell types drawn by the root of their number (balance 0.5) instead of by it",
                     ("training.type_balance=1",)),
    "optimizer": ("Muon for the weights that mix channels instead of AdamW for all",
                  ("training.optimizer=adamw",)),
}  # fmt: skip


def score(name: str, changes: tuple[str, ...], data: Dataset, options: Any) -> dict[str, Any]:
    """The fold's score of a variant, trained here if it was not."""
    out = options.runs / f"{options.crops}" / name.replace(" ", "_")
    model = out / "model.safetensors"
    if not model.is_file():
        recipe = load_recipe("bundled", (
            "training.max_minutes=null", f"training.epochs={EPOCHS}",
            f"training.crops_per_epoch={options.crops // EPOCHS}", "training.averaging=0.99",
            "training.optimizer=muon", "training.validation_images=3", *changes,
        ))  # fmt: skip
        resume = (out / "checkpoints" / "last.ckpt").is_file()
        train(recipe, data, out, fold=FOLD, resume=resume)
    fold = Fold.of(data, FOLD, options.images)
    looked = look(model, fold, options.maps)
    found = looked.score(fold.ids, dict.fromkeys(fold.ids, OperatingPoints()))
    print(name, found.challenge_mix, found.by_type, flush=True)
    return {"challenge_mix": found.challenge_mix, "by_type": found.by_type, "images": len(fold.ids)}


def main() -> None:
    """Train and score the variants, a file each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--crops", type=int, default=6000, help="of training, each")
    parser.add_argument("--images", type=int, help="of the fold; default: all")
    parser.add_argument("--only", choices=WITHOUT, action="append")
    parser.add_argument("--runs", type=Path, default=Path("scratch/choices"))
    parser.add_argument("--maps", type=Path, default=MAPS)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the files")
    options = parser.parse_args()
    data = open_dataset(options.data)
    base = score(BASE, (), data, options)
    for name in options.only or WITHOUT:
        change, without = WITHOUT[name]
        other = score(f"without {name}", without, data, options)
        write_json(options.out / f"choice_{name}.json", {
            **provenance(0), "change": change,
            "measure": f"challenge-mix mAP, fold 0, default thresholds, {options.crops} crops from "
            "the synthetic model",
            "before": other["challenge_mix"], "after": base["challenge_mix"],
            "by_type_before": other["by_type"], "by_type_after": base["by_type"],
            "images": base["images"],
        })  # fmt: skip


if __name__ == "__main__":
    main()
