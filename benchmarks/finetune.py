"""What five annotated images of one's own cells are worth: mAP before and after fine-tuning.

    python benchmarks/finetune.py --init MODEL --data SARTORIUS --out RESULTS.json

Cases: 'shifted', simulated cells of another size, shape and contrast; and the challenge's types one
by one, five training images of fold 0 to learn from, its validation images of the type to be scored
on. Start from a model that never saw what it is scored on (for the types: no real image).
Every case runs the command a user would run, and counts its CPU minutes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.split import fold_ids
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.files import write_json
from bigkingxxl.inference.load import load_predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import write_annotations
from bigkingxxl.io.annotations.label_images import write_label_image
from bigkingxxl.models import model_hash, read_card, resolve_model
from bigkingxxl.provenance import provenance
from bigkingxxl.simulate.cell_types import ASTRO, CellTypeProfile
from bigkingxxl.simulate.field import field_of

SHIFTED = "shifted"
SIZE = (520, 704)


def main() -> None:
    """Run the cases and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--init", default="open")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", default=[SHIFTED, "cort", "astro"])
    parser.add_argument("--images", type=int, default=5, help="to learn from")
    parser.add_argument("--held-out", type=int, default=12, help="to be scored on")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="passed on to the training")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    path = resolve_model(options.init)
    cases: dict[str, Any] = {}
    for name in options.cases:
        cases[name] = run_case(name, path, options)
        print(name, cases[name], flush=True)
        write_json(options.out, {
            **provenance(0),
            "init": {"name": path.name, "hash": model_hash(path)},
            "images_to_learn_from": options.images,
            "cases": cases,
        })  # fmt: skip


def run_case(name: str, init: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Held-out mAP before and after, and what it took."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if name == SHIFTED:
            learning = simulated(folder / "learning", options.images, seed=1)
            held_out = simulated(folder / "held_out", options.held_out, seed=2)
        else:
            data = open_dataset(options.data)
            learning, held_out = of_one_type(data, name, folder / "learning", options)
        command = [sys.executable, "-m", "bigkingxxl", "train", "finetune", "--init", str(init),
                   "--data", str(learning.root), "--out", str(folder / "run")]  # fmt: skip
        command += [part for each in options.set for part in ("--set", each)]
        minutes = timed(command)
        model = folder / "run" / "model.safetensors"
        card, own = read_card(init), read_card(model)
        scale = own.prediction.scale
        result = {
            "before": mean_score(init, held_out),
            "before, cells scaled to the size it knows": mean_score(init, held_out, scale),
            "after": mean_score(model, held_out),
            "held_out_images": len(held_out),
            **minutes,
            "command": f"bigkingxxl train finetune --init {init.name} --data LEARNING "
            + " ".join(f"--set {each}" for each in options.set),
            "median_diameter": own.median_diameter, "that_of_init": card.median_diameter,
            "scale": scale,
        }  # fmt: skip
        trained_on = set(card.trained_on) & set(held_out.ids)
        return {**result, "held_out_images_that_init_was_trained_on": len(trained_on)}


def timed(command: Sequence[str]) -> dict[str, float]:
    """Wall and CPU minutes of a command and all its processes, start included."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_minutes": used / 60, "wall_minutes": (time.monotonic() - began) / 60}


def mean_score(model: Path, data: Dataset, scale: float | None = None) -> float:
    """The competition's mAP, mean over the images, at the model's own operating points."""
    predictor, card = load_predictor(model, "cpu", scale=scale)
    truth, found = {}, {}
    types = {image_id: data.cell_type(image_id) for image_id in data.ids}
    for image_id in data.ids:
        truth[image_id] = data.instances(image_id)
        candidates = predictor.candidates(data.source(image_id))
        found[image_id] = select(candidates, card.operating_points)
    return float(competition_map(truth, found, types).mean)


def of_one_type(
    data: Dataset, name: str, folder: Path, options: argparse.Namespace
) -> tuple[Dataset, Dataset]:
    """A data set of a few training images of a type, and the validation images of it."""
    training, validation = fold_ids(data, options.fold)
    learning = spread([each for each in training if data.cell_type(each) == name], options.images)
    held_out = spread(
        [each for each in validation if data.cell_type(each) == name], options.held_out
    )
    (folder / "train").mkdir(parents=True)
    for image_id in learning:
        path = data.image_path(image_id)
        (folder / "train" / path.name).symlink_to(path.resolve())
    write_annotations(folder / "train.csv", {each: data.instances(each) for each in learning})
    return open_dataset(folder), replace(data, ids=tuple(held_out))


def spread(ids: Sequence[str], count: int) -> list[str]:
    """Up to `count` of the ids, evenly over their order."""
    places = np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)
    return [ids[place] for place in places]


def simulated(folder: Path, images: int, seed: int) -> Dataset:
    """Bright spindles on dark ground, twice as long as any cell of the challenge, in 16 bits."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(images):
        field = field_of(spindles(), np.random.default_rng([seed, index]), SIZE)
        pixels = (255 - field.image).astype(np.uint16) * 150 + 900
        Image.fromarray(pixels).save(folder / "images" / f"{index}.png")
        cells = Instances.from_crops(
            [(cell.row0, cell.col0) for cell in field.cells],
            [cell.mask for cell in field.cells],
            SIZE,
        )
        write_label_image(folder / "labels" / f"{index}.tif", cells)
    return open_dataset(folder)


def spindles() -> CellTypeProfile:
    """A cell type that the simulator does not have: large, long, thick, out of focus."""
    shape = replace(
        ASTRO.shape, area=900.0, area_spread=0.35, aspect=(2.5, 5.0), limbs=(1, 2), smallest=250
    )
    phase = replace(ASTRO.phase, height=0.5, height_spread=0.3, granules=0.15, nucleus=0.3)
    return replace(
        ASTRO, name="spindle", counts=(12, 16, 25, 35, 50, 70, 90), shape=shape, phase=phase,
        clustering=1.2, defocus=3.0,
    )  # fmt: skip


if __name__ == "__main__":
    main()
