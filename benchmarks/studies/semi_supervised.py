"""Does a critic help where few images are annotated? Supervised against adversarial training.

    python -m benchmarks run semi_supervised --data DIR [--minutes 10] [--only ARM/SEED] [--table]

The compact network learns from 40 annotated images of fold 0's training images, the same for all;
the adversarial arms also see all others, and more, without annotation. Each arm and seed gets the
same minutes, so a critic has to earn its time. Scored are images of the fold that chose no
checkpoint, as `score_fold` does it. Each run is a row in a file of its own: with
`--only` several processes may share the work, `--table` then puts together what is there.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.score_fold import Fold, describe, look, spread
from benchmarks.bench_cells import REAL_DATA, RESULTS, ROOT
from benchmarks.studies.semi_supervised_table import (
    SUPERVISED,
    check_same_setting,
    plot,
    read_rows,
    table,
)
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.split import fold_ids, folds_path, write_folds
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.competition_map import CompetitionScore
from bigkingxxl.evaluation.tuning import crossfitted_points
from bigkingxxl.files import write_bytes, write_json, write_text
from bigkingxxl.inference.load import choose_device
from bigkingxxl.io.images import find_images
from bigkingxxl.models import read_card
from bigkingxxl.provenance import fingerprint, provenance
from bigkingxxl.training.curves import read_curves
from bigkingxxl.training.recipe import load_recipe
from bigkingxxl.training.run import train
from bigkingxxl.training.selection import spread as shown_images

FOLD = 0
# Within 50 steps the critic's gradient at the network's weights grows to about 25 times that of the
# supervised losses: 0.02 makes it half of theirs, 0.002 a twentieth.
WEIGHTS = (0.002, 0.02)
KEPT_SCORES = ("challenge_mix", "challenge_mix_interval_95", "competition_map", "by_type",
               "images_by_type")  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One arm under one seed.

    Attributes:
        weight: of the adversarial loss, None without a critic; seed: of everything random.
    """

    weight: float | None
    seed: int

    @property
    def arm(self) -> str:
        """What the table calls it."""
        return SUPERVISED if self.weight is None else f"adversarial-{self.weight:g}"

    @property
    def name(self) -> str:
        """What `--only` takes."""
        return f"{self.arm}/{self.seed}"


@dataclass(frozen=True, eq=False)
class Few:
    """The data of all runs.

    Attributes:
        data: few annotated images, those of the fold, and the rest as images without annotation.
        labelled: ids to train on; shown: those that choose the checkpoint; scored: others.
    """

    data: Dataset
    labelled: tuple[str, ...]
    shown: tuple[str, ...]
    scored: tuple[str, ...]

    @classmethod
    def of(cls, data: Dataset, options: argparse.Namespace) -> Few:
        """As the options say.

        Raises:
            InputError: images are missing and no file says how the whole set was split.
        """
        if data.skipped and not (options.folds or folds_path(data).is_file()):
            raise InputError(
                f"{data.root} lacks {len(data.skipped)} images, which would change the split: name "
                "the whole set's with --folds (`bigkingxxl data split` writes it)"
            )
        training, validation = fold_ids(data, FOLD, folds_file=options.folds)
        labelled = spread(data, training, options.images)
        shown = shown_images(validation, data, options.validation_images)
        rest = [image_id for image_id in validation if image_id not in shown]
        scored = spread(data, rest, options.score_images or len(rest))
        kept = {*labelled, *validation}
        ids = tuple(image_id for image_id in data.ids if image_id in kept)
        bare = [data.image_path(image_id) for image_id in training if image_id not in kept]
        few = replace(
            data,
            ids=ids,
            paths={image_id: data.paths[image_id] for image_id in ids},
            # Training refuses those that show a validation image.
            unlabelled=(
                *data.unlabelled,
                *bare,
                *(file.path for file in find_images(options.unlabelled).files),
            ),
        )
        return cls(few, labelled, shown, scored)

    def setting(self, options: argparse.Namespace) -> dict[str, Any]:
        """What rows must have in common to be compared."""
        return {
            "fold": FOLD, "minutes": options.minutes, "images": len(self.labelled),
            "unlabelled": len(self.data.unlabelled), "crops": options.crops,
            "batch": options.batch, "changes": options.set, "labelled": fingerprint(self.labelled),
            "scored": fingerprint(self.scored),
        }  # fmt: skip


def learn(run: Run, few: Few, out: Path, options: argparse.Namespace) -> Path:
    """The model of a run, trained if it is not there; a broken training goes on."""
    model = out / "model.safetensors"
    if model.is_file():
        return model
    folds = out / "folds.csv"
    write_folds(folds, {i: FOLD + 1 if i in few.labelled else FOLD for i in few.data.ids})
    critic = () if run.weight is None else (f"adversarial.weight={run.weight}",)
    recipe = load_recipe("compact", (
        "training.epochs=1000", "training.patience=1000", "training.warmup_steps=20",
        f"training.max_minutes={options.minutes}", f"training.crops_per_epoch={options.crops}",
        f"training.batch_size={options.batch}", f"training.workers={options.workers}",
        f"training.validation_images={options.validation_images}", *options.set, *critic,
    ), seed=run.seed)  # fmt: skip
    resume = (out / "checkpoints" / "last.ckpt").is_file()
    train(recipe, few.data, out, fold=FOLD, folds_file=folds, device=options.device,
          resume=resume, quiet=options.quiet)  # fmt: skip
    return model


def fill(run: Run, few: Few, options: argparse.Namespace) -> None:
    """Write a run's row: with the default's score at once, with the cross-fitted one thereafter."""
    path = rows_of(options) / f"{run.arm}-seed{run.seed}.json"
    setting = few.setting(options)
    if path.is_file():
        row = json.loads(path.read_text(encoding="utf-8"))
        check_same_setting(path, row["setting"], setting)
        if "crossfitted" in row["scores"]:
            return
    out = options.runs / run.arm / f"seed{run.seed}"
    model = learn(run, few, out, options)
    looked = look(model, Fold(few.data, FOLD, few.scored), out / "maps")
    row = {
        **provenance(run.seed), "arm": run.arm, "weight": run.weight, "machine": machine(options),
        "setting": setting, "threads": options.threads, "scored": len(few.scored),
        "shown": len(few.shown), "model": describe(looked), **training_of(model), "scores": {},
    }  # fmt: skip
    default = looked.score(few.scored, dict.fromkeys(few.scored, looked.start))
    row["scores"]["default"] = kept(default)
    # A time limit may end this process while it tunes.
    write_json(path, row)
    honest = crossfitted_points(looked.tuner, few.scored, looked.start)
    row["scores"]["crossfitted"] = kept(looked.score(few.scored, honest))
    write_json(path, row)
    shutil.rmtree(out / "maps")
    print(run.name, {name: each["challenge_mix"] for name, each in row["scores"].items()})


def training_of(model: Path) -> dict[str, Any]:
    """How a training went: minutes, epochs, steps, the validation curve, the critic's means."""
    card, curves = read_card(model), read_curves(model.parent)
    curve = curves["val/map"]
    told = {name: points for name, points in curves.items()
            if name.startswith("critic/") or name == "train/gradient_norm"}  # fmt: skip
    last = {name: [value for _, value in points[-max(len(points) // 3, 1) :]]
            for name, points in told.items()}  # fmt: skip
    return {
        "minutes": card.scores["minutes"],
        "epochs": card.scores["epochs"],
        "steps": curve[-1][0] + 1,
        "curve": curve,
        "means_of_the_last_third": {name: sum(own) / len(own) for name, own in last.items()},
    }


def kept(score: CompetitionScore) -> dict[str, Any]:
    """What a row keeps of a score."""
    whole = score.as_dict()
    return {name: whole[name] for name in KEPT_SCORES}


def machine(options: argparse.Namespace) -> str:
    """What trained, in words."""
    import torch

    if choose_device(options.device) == "cuda":
        return str(torch.cuda.get_device_name())
    return f"CPU, {torch.get_num_threads()} threads"


def rows_of(options: argparse.Namespace) -> Path:
    """The folder of the row files."""
    rows: Path = options.runs / "rows"
    return rows


def assemble(options: argparse.Namespace) -> None:
    """Write table, plot and all rows in one file."""
    rows = read_rows(rows_of(options))
    write_json(options.out, {**provenance(), "setting": rows[0]["setting"], "rows": rows})
    write_text(options.out.with_suffix(".md"), table(rows))
    write_bytes(options.plot, plot(rows))
    print(table(rows))


def chosen(options: argparse.Namespace) -> Sequence[Run]:
    """The runs that are wanted, seed by seed: what is broken off is then still a comparison.

    Raises:
        InputError: `--only` names none of them.
    """
    runs = [Run(weight, seed) for seed in options.seeds for weight in (None, *options.weights)]
    names = {run.name: run for run in runs}
    for name in options.only or ():
        if name not in names:
            raise InputError(f"--only {name}: expected some of {', '.join(names)}")
    return [names[name] for name in options.only or names]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--folds", type=Path, help="the split; default: the data set's own")
    parser.add_argument("--unlabelled", nargs="+", default=(), help="more without annotation")
    parser.add_argument("--images", type=int, default=40, help="annotated ones to train on")
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS, help="an arm each")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--only", action="append", help="ARM/SEED; writes its row and no table")
    parser.add_argument("--table", action="store_true", help="of the rows there are; no training")
    parser.add_argument("--minutes", type=float, default=10, help="of training, each")
    parser.add_argument("--crops", type=int, default=320, help="an epoch")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--validation-images", type=int, default=9, help="after each epoch")
    parser.add_argument("--score-images", type=int, help="of the fold; default: all others")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, in every arm")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, help="of the processor; default: torch's own")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare crops")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("scratch/semi_supervised"))
    parser.add_argument("--out", type=Path, default=RESULTS / "semi_supervised.json")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs/images/semi_supervised.png")
    return parser.parse_args()


def main() -> None:
    """Fill in the rows that are missing; the table, unless only some rows are wanted."""
    import torch

    options = parsed()
    if options.threads:
        torch.set_num_threads(options.threads)
    if not options.table:
        # A folder may hold a part of the images that its table names.
        few = Few.of(open_dataset(options.data, skip_bad=True), options)
        for run in chosen(options):
            fill(run, few, options)
    if options.table or not options.only:
        assemble(options)


if __name__ == "__main__":
    main()
