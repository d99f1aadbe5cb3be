"""The score of a fine-tuned model against the number of annotated images used for it.

    python -m benchmarks run finetune --init MODEL --data POOL --sets A B --counts 0 1 3 5 \
        --old SARTORIUS --out RESULTS.json
    python -m benchmarks run finetune --table RESULTS.json

Each case runs the command of a user in a separate process. It scores the resulting model on images
of the data set that no case is trained on, and on images of other cells (the validation images of
`--old-fold`), before and after, which measures forgetting. Cases in the result file are not run
again. The starting model must not have been trained on these data sets. With `--quarters` each
image is divided into four, so that a small data set has enough of them; no quarter is used for
scoring if another one of its image is used for training.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from benchmarks.harness import evenly, markdown, record
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.competition_map import CompetitionScore, competition_map
from bigkingxxl.evaluation.partial_annotation import counted
from bigkingxxl.geometry import whole
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.io.annotations.label_images import write_label_image
from bigkingxxl.model_files import model_hash, read_card, resolve_model

QUARTER = "_quarter"
KEPT = ("kept", "sentence", "checked", "units", "start", "settings", "trained", "size", "moved",
        "cpu_minutes", "notes")  # fmt: skip


def main() -> None:
    """Run the missing cases, or print the table of the existing ones."""
    options = arguments()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    path = resolve_model(options.init)
    found = stored(options.out)
    found["init"] = {"name": path.name, "hash": model_hash(path)}
    cases: dict[str, Any] = found.setdefault("cases", {})
    old = old_images(options)
    if old is not None and "old_before" not in found:
        found["old_before"] = score(path, *old).mean
    for name in options.sets:
        data = open_dataset(options.data / name)
        if seen := data.among(read_card(path).trained_on):
            raise InputError(f"{name}: the model has learnt from {len(seen)} of its images")
        if options.quarters:
            data = quartered(data, options.out.with_suffix("") / name)
        learning, held_out = parted(data.ids, max(options.counts), options.held_out)
        for count in options.counts:
            key = f"{name} {count}"
            if key not in cases:
                ids = evenly(learning, count)
                cases[key] = {"set": name, "images": count,
                              **case(path, data, ids, held_out, old, options)}  # fmt: skip
                record(options.out, found, 0)
                print(key, {k: cases[key][k] for k in ("held_out", "old", "kept")}, flush=True)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--init", default="bundled")
    parser.add_argument("--data", type=Path, help="a folder of data sets")
    parser.add_argument("--sets", nargs="+", default=[])
    parser.add_argument("--counts", nargs="+", type=int, default=[0, 1, 3, 5])
    parser.add_argument("--held-out", type=int, default=8, help="images of each set to score on")
    parser.add_argument("--quarters", action="store_true", help="cut each image into four")
    parser.add_argument("--old", type=Path, help="a data set of cells that the start knows")
    parser.add_argument("--old-fold", type=int, default=0)
    parser.add_argument("--old-images", type=int, default=8)
    parser.add_argument("--stage", default="all")
    parser.add_argument("--set", action="append", default=[], help="passed on to the training")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="print the table of a result file")
    return parser.parse_args()


def stored(path: Path) -> dict[str, Any]:
    """Read a result file; {} if it does not exist."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def old_images(options: argparse.Namespace) -> tuple[Dataset, Sequence[str]] | None:
    """Return images of other cells, on which the starting model was not trained either."""
    if options.old is None:
        return None
    data = open_dataset(options.old)
    return data, evenly(fold_ids(data, options.old_fold)[1], options.old_images)


def quartered(data: Dataset, folder: Path) -> Dataset:
    """Write the quarters of a data set's images that contain cells as a data set."""
    for image_id in data.ids:
        source, cells = data.source(image_id), data.instances(image_id)
        labels = cells.label_map().astype(np.uint16)
        pixels = np.moveaxis(source.read(whole(source.shape)), 0, -1)
        height, width = (length // 2 for length in source.shape)
        for number, (row, col) in enumerate(product((0, height), (0, width))):
            part = np.s_[row : row + height, col : col + width]
            if labels[part].any():
                name = f"{image_id}{QUARTER}{number}.tif"
                for place in ("images", "labels"):
                    (folder / place).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(folder / "images" / name, pixels[part].squeeze())
                tifffile.imwrite(folder / "labels" / name, labels[part])
    return open_dataset(folder)


def parted(ids: Sequence[str], learn: int, held_out: int) -> tuple[list[str], list[str]]:
    """Return images for training, evenly spaced in the data set, and others for scoring.

    Quarters of the first half of the images are used for training, those of the others for scoring.
    """
    if any(QUARTER in each for each in ids):
        images = list(dict.fromkeys(each.split(QUARTER)[0] for each in ids))
        first = set(images[: -(-len(images) // 2)])
        own = [each for each in ids if each.split(QUARTER)[0] in first]
        rest = [each for each in ids if each.split(QUARTER)[0] not in first]
        return evenly(own, learn), evenly(rest, held_out)
    learning = evenly(ids, min(learn, len(ids) - 1))
    rest = [each for each in ids if each not in learning]
    return learning, evenly(rest, held_out)


def case(
    init: Path, data: Dataset, ids: Sequence[str], held_out: Sequence[str],
    old: tuple[Dataset, Sequence[str]] | None, options: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """Fine-tune on some images and score the model on held-out and old images."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, model, result = Path(temporary), init, {"kept": "start"}
        spent: dict[str, float] = {}
        if ids:
            copied(data, ids, folder / "learning")
            command = [sys.executable, "-m", "bigkingxxl", "train", "finetune", "--quiet",
                       "--json", "--init", str(init), "--data", str(folder / "learning"),
                       "--out", str(folder / "run"), "--stage", options.stage]  # fmt: skip
            command += [part for each in options.set for part in ("--set", each)]
            answer, spent = timed(command)
            result = {key: json.loads(answer)[key] for key in KEPT}
            model = resolve_model(folder / "run")
        scores = score(model, data, held_out)
        found = {"held_out": scores.mean, "held_out_per_image": scores.scores,
                 "held_out_ap50": scores.by_threshold[50], "learnt": list(ids)}  # fmt: skip
        found["old"] = None if old is None else score(model, *old).mean
        return {**found, **result, **spent}


def copied(data: Dataset, ids: Sequence[str], folder: Path) -> None:
    """Write some images of a data set as `images/` beside `labels/`."""
    (folder / "images").mkdir(parents=True)
    for image_id in ids:
        path = data.image_path(image_id)
        (folder / "images" / path.name).symlink_to(path.resolve())
        write_label_image(folder / "labels" / f"{path.stem}.tif", data.instances(image_id))


def timed(command: Sequence[str]) -> tuple[str, dict[str, float]]:
    """Run a command; return its output and the minutes of it and all its processes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    spent = {"all_cpu_minutes": used / 60, "wall_minutes": (time.monotonic() - began) / 60}
    return done.stdout, spent


def score(model: Path, data: Dataset, ids: Sequence[str]) -> CompetitionScore:
    """Score the cells found by `predict` with the model's own settings."""
    predictor, card = load_predictor(model, "cpu")
    truth, found = {}, {}
    for image_id in ids:
        ignored = data.ignored(image_id)
        truth[image_id] = counted(data.instances(image_id), ignored)
        cells = select(predictor.candidates(data.source(image_id)), card.operating_points)
        found[image_id] = counted(cells, ignored)
    return competition_map(truth, found, {each: data.cell_type(each) for each in ids})


def table(found: dict[str, Any]) -> str:
    """Format the curve of each data set as a Markdown table."""
    cases = list(found["cases"].values())
    counts = sorted({each["images"] for each in cases})
    header = ("set", *(f"{count} images" for count in counts))
    rows = []
    for name in dict.fromkeys(each["set"] for each in cases):
        own = {each["images"]: each for each in cases if each["set"] == name}
        rows.append((name, *(cell(own.get(count)) for count in counts)))
    text = markdown(header, rows)
    if found.get("old_before") is not None:
        text += f"\n\nOld cells before: {found['old_before']:.3f}."
    return text


def cell(found: dict[str, Any] | None) -> str:
    """Format one case of the table."""
    if found is None:
        return "-"
    old = "" if found["old"] is None else f"; old cells {found['old']:.3f}"
    kept = "" if not found["images"] else f" ({found['kept']}{old})"
    return f"{found['held_out']:.3f}{kept}"


if __name__ == "__main__":
    main()
