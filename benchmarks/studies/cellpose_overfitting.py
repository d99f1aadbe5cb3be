"""Why 'scores got worse when training more': Cellpose as the team trained it, and choice by choice.

    python -m benchmarks run cellpose_overfitting --data DIR [--minutes 60] [--start FILE]

Variants of one recipe (cells of 17 pixels, as 'nuclei' knows them, or of --diameter), each trained
for the same minutes, validation included, from the same weights and without early stopping or
averaging. After each epoch some validation images of fold 0 are predicted and scored by the
competition's mAP. What overfits is best early and worse at the end. A variant that was trained is
kept, by its minutes; the table and the plot are made anew each time.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_cells import REAL_DATA, RESULTS, ROOT
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.split import fold_ids
from bigkingxxl.evaluation.plots import figure, png
from bigkingxxl.files import write_bytes, write_json, write_text
from bigkingxxl.instances import Instances
from bigkingxxl.provenance import provenance
from bigkingxxl.training.curves import read_curves
from bigkingxxl.training.recipe import load_recipe
from bigkingxxl.training.run import train

FOLD, BYTE = 0, 256
RATE = 5e-4
PLAIN = (
    "augment.rotate=false", "augment.flip=false", "augment.zoom=[1.0, 1.0]",
    "augment.contrast=0", "augment.brightness=0",
)  # fmt: skip
FAST = (f"training.learning_rate={20 * RATE}",)


@dataclass(frozen=True)
class Variant:
    """What differs from the recipe.

    Attributes:
        changes: of settings; wraps: whether training labels are cut to 8 bits.
    """

    changes: tuple[str, ...] = ()
    wraps: bool = False


VARIANTS = {
    "as here": Variant(),
    "labels of 8 bits": Variant(wraps=True),
    "learning rate x 20": Variant(FAST),
    "no augmentation": Variant(PLAIN),
    "all three": Variant((*FAST, *PLAIN), wraps=True),
}


def wrapped(cells: Instances) -> Instances:
    """Cells as a label image of 8 bits has them: the 256th is lost, the 257th joins the first."""
    labels = cells.label_map() % BYTE
    kind = int(cells.cell_type[0]) if len(cells) else 0
    found = Instances.from_label_map(labels)
    return replace(
        found, cell_type=np.full(len(found), kind, np.int16), type_names=cells.type_names
    )


def with_wrapped_labels(data: Dataset, ids: Sequence[str]) -> Dataset:
    """The data set with these images' annotations cut to 8 bits, all others as they are."""
    cut, read = set(ids), data.read_instances
    return replace(
        data, read_instances=lambda name: wrapped(read(name)) if name in cut else read(name)
    )


def learn(
    name: str, data: Dataset, out: Path, options: argparse.Namespace
) -> list[tuple[int, dict[str, float]]]:
    """Train a variant, or go on with it; (step, scores) after each epoch."""
    variant = VARIANTS[name]
    training = fold_ids(data, FOLD)[0]
    if variant.wraps:
        data = with_wrapped_labels(data, training)
    recipe = load_recipe("cellpose", (
        f"settings.start={options.start or 'null'}", f"augment.diameter={options.diameter}",
        f"training.max_minutes={options.minutes}",
        "training.epochs=1000", f"training.crops_per_epoch={options.crops}",
        "training.patience=1000", "training.averaging=0", f"training.learning_rate={RATE}",
        "training.warmup_steps=20", f"training.validation_images={options.images}",
        *variant.changes,
    ))  # fmt: skip
    if not (out / "model.safetensors").is_file():
        resume = (out / "checkpoints" / "last.ckpt").is_file()
        train(recipe, data, out, fold=FOLD, resume=resume)
    curves = {key: dict(points) for key, points in read_curves(out).items() if "val/" in key}
    return [
        (step, {key: values[step] for key, values in curves.items() if step in values})
        for step in sorted(curves["val/map"])
    ]


def row(epochs: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, Any]:
    """What a variant's epochs say: the best score, the last, and what was lost between."""
    scores = np.array([each["val/map"] for _, each in epochs])
    # One epoch's score wanders; the mean of the last fifth is what training more has led to.
    end = float(scores[-max(len(scores) // 5, 1) :].mean())
    return {
        "best": float(scores.max()),
        "best_after": float((scores.argmax() + 1) / len(scores)),
        "end": end,
        "lost": float(scores.max()) - end,
        "by_type_at_the_end": {
            key.removeprefix("val/map_"): value
            for key, value in epochs[-1][1].items()
            if key.startswith("val/map_") and key != "val/map_plain"
        },
    }


def table(rows: Mapping[str, Mapping[str, Any]], minutes: float) -> str:
    """Markdown."""
    lines = [
        f"Cellpose, {minutes:g} minutes a variant; mAP on validation images after each epoch.", "",
        "| variant | best | after share of the training | at the end | lost | by type at the end |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, each in rows.items():
        types = ", ".join(f"{key} {value:.3f}" for key, value in each["by_type_at_the_end"].items())
        lines.append(
            f"| {name} | {each['best']:.3f} | {each['best_after']:.2f} | {each['end']:.3f} | "
            f"{each['lost']:.3f} | {types} |"
        )
    return "\n".join([*lines, ""])


def plot(epochs: Mapping[str, Sequence[tuple[int, Mapping[str, float]]]]) -> bytes:
    """A PNG file: mAP over training steps, a line a variant."""
    drawing, axes = figure("training step", "mAP on validation images")
    for name, each in epochs.items():
        steps, scores = zip(*((step, values["val/map"]) for step, values in each), strict=True)
        axes.plot(steps, scores, marker=".", markersize=3, label=name)
    axes.legend()
    return png(drawing)


def main() -> None:
    """Train what is missing, write table, plot and figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--minutes", type=float, default=60, help="of training, a variant")
    parser.add_argument("--start", default="", help="'nuclei' or a file; default: from scratch")
    parser.add_argument("--diameter", type=float, default=17, help="of cells in the network")
    parser.add_argument("--crops", type=int, default=160, help="an epoch")
    parser.add_argument("--images", type=int, default=9, help="predicted after each epoch")
    parser.add_argument("--only", choices=VARIANTS, action="append")
    parser.add_argument("--runs", type=Path, default=Path("scratch/overfitting"))
    parser.add_argument("--out", type=Path, default=RESULTS / "cellpose_overfitting.json")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs/images/cellpose_overfitting.png")
    options = parser.parse_args()
    data = open_dataset(options.data)
    found = {}
    for name in options.only or VARIANTS:
        folder = options.runs / f"{options.minutes:g}" / name.replace(" ", "_")
        found[name] = learn(name, data, folder, options)
        rows = {key: row(each) for key, each in found.items()}
        write_json(options.out, {
            **provenance(0), "minutes": options.minutes, "start": Path(options.start).name,
            "diameter": options.diameter, "images": options.images, "rows": rows, "epochs": found,
        })  # fmt: skip
        write_text(options.out.with_suffix(".md"), table(rows, options.minutes))
        write_bytes(options.plot, plot(found))
        print(table(rows, options.minutes), flush=True)


if __name__ == "__main__":
    main()
