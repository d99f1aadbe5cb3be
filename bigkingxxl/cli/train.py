"""`bigkingxxl train`: a model from annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bigkingxxl.cli.cross_validate import ALL_FOLDS, check_all_folds, cross_validate
from bigkingxxl.cli.json_output import AsJson, print_json
from bigkingxxl.cli.open_data import SkipBad, say_of
from bigkingxxl.cli.progress import tracker
from bigkingxxl.settings import LARGEST_SEED

if TYPE_CHECKING:
    from bigkingxxl.data.base import Dataset
    from bigkingxxl.training.recipe import Recipe

AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code", help="Run a settings file that is a Python program; it may do anything."
    ),
]
DEFAULT_DATA = [Path("dataset")]


def train(
    config: Annotated[str, typer.Argument(help="A settings file, or the name of a recipe.")],
    data: Annotated[
        list[Path],
        typer.Option(
            help="Annotated images in any known layout, or a folder of such data sets; repeatable."
        ),
    ] = DEFAULT_DATA,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help="Name of a data set that is scored but not learned; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder (default: runs/CONFIG).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a setting: key=value, as in training.epochs=30; repeatable."
        ),
    ] = None,
    allow_code: AllowCode = False,
    fold: Annotated[
        str | None,
        typer.Option(
            help="Number of the validation fold; -1: train on every image; 'all': one model per "
            "fold. Default: 0, or -1 if there are few images."
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            help="File of the split (default: DATA/folds.csv); for --fold all also their number."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    init: Annotated[
        str | None,
        typer.Option(help="Model to start from: the name of a shipped model, or a file."),
    ] = None,
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(
            help="Images without annotations, for recipes with a critic or teacher; repeatable."
        ),
    ] = None,
    no_unlabelled: Annotated[
        bool,
        typer.Option("--no-unlabelled", help="Train a recipe with a critic without such images."),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_SEED, help="Seed of all random numbers.")
    ] = None,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            help="For finetune: annotated images of cells that must not be forgotten; repeatable."
        ),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            help="For finetune: 'settings' (scale and thresholds; seconds, no torch) or 'all'."
        ),
    ] = None,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json-lines",
            help="For finetune: print progress and result as JSON, one object per line.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="Number of devices per machine; they share each batch.")
    ] = 1,
    nodes: Annotated[
        int, typer.Option(min=1, help="Number of machines, started by srun or torchrun.")
    ] = 1,
    as_json: AsJson = False,
    skip_bad: SkipBad = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a model on a data set and write it to RUN/model.safetensors.

    The run keeps the checkpoint with the best score on the validation fold. Progress is logged in
    RUN/lightning_logs (tensorboard --logdir RUN).

    `bigkingxxl train finetune` adapts the bundled model to your own cells; five annotated images
    are enough. It chooses the scale and the thresholds first. Then it trains models without a part
    of the images, to check on that part whether training helps, and finally one model on all of
    them. The starting model stays unless the new one is better on images that were kept back. RUN
    holds the model that was chosen (predict --model RUN), and run.json explains the choice.

    `--fold all` runs a cross-validation: it trains, calibrates and tunes one model per fold (five
    folds, those of the data set, or --folds 3). Images of one field, well or sample stay together.
    RUN then holds fold0/ ..., the results of each image by the model that was not trained on it
    (out-of-fold/, which evaluate, compare and report read), their scores (folds.json) and the
    models as an ensemble (folds.ensemble). --resume continues anywhere and trains no fold twice.
    """
    from bigkingxxl.data.joined import open_datasets
    from bigkingxxl.training.recipe import load_recipe

    recipe = load_recipe(config, settings or (), seed, init, allow_code=allow_code)
    recipe = recipe.with_unlabelled(unlabelled or (), use=not no_unlabelled)
    recipe = recipe.with_replay(replay or ())
    folder = out or Path("runs") / Path(config).stem
    if fold == ALL_FOLDS:
        check_all_folds(leave_out, stage, json_lines, devices * nodes)
        cross_validate(recipe, say_of(open_datasets(data, skip_bad=skip_bad)), folder, folds,
                       device=device, resume=resume, as_json=as_json, quiet=quiet)  # fmt: skip
        return
    number, split = one_fold(fold, folds)
    if recipe.finetune is not None:
        check_finetune(number, split, leave_out, stage)
        refuse_several(devices * nodes)
        annotated = say_of(open_datasets(data, skip_bad=skip_bad))
        tune(recipe, annotated, folder, stage=stage, resume=resume, device=device,
             as_json=as_json, json_lines=json_lines, quiet=quiet)  # fmt: skip
        return
    refuse_finetune(config, stage, json_lines)
    from bigkingxxl.training import run
    from bigkingxxl.training.devices import Devices

    shared = Devices(devices, nodes)
    is_first = shared.rank == 0
    dataset = open_datasets(data, leave_out or (), skip_bad=skip_bad)
    result = run.train(
        recipe, say_of(dataset) if is_first else dataset, folder, fold=number, folds_file=split,
        device=device, resume=resume, quiet=quiet, devices=shared,
        track=tracker(quiet or not is_first),
    )  # fmt: skip
    if not is_first:
        return
    if as_json:
        print_json({"model": result.model, "epochs": result.epochs, "minutes": result.minutes,
                    "map": result.score, "in_sample": result.chosen or not result.kept_back,
                    "chosen": result.chosen})  # fmt: skip
        return
    if result.chosen:
        meaning = "on validation images (in-sample: it chose the epoch)"
    elif result.kept_back:
        meaning = "on images that were kept back, at the true size of their cells"
    else:
        meaning = "on images it was trained on (the last weights, averaged; no image was kept back)"
    typer.echo(
        f"{result.model}: {result.epochs} epochs, {result.minutes:.1f} minutes, "
        f"mAP {result.score:.3f} {meaning}"
    )


def one_fold(fold: str | None, folds: str | None) -> tuple[int | None, Path | None]:
    """Return the number of the fold and the file of the split.

    Raises:
        InputError: An option has another form.
    """
    from bigkingxxl.errors import InputError

    if folds is not None and folds.isdecimal() and not Path(folds).exists():
        raise InputError(
            f"--folds {folds} is a number of folds, which --fold all trains: add it",
            key="--folds",
            found=folds,
        )
    split = None if folds is None else Path(folds)
    if fold is None:
        return None, split
    if not fold.removeprefix("-").isdecimal() or int(fold) < -1:
        raise InputError(
            f"--fold is '{fold}', expected a number from 0 on, -1, or '{ALL_FOLDS}'",
            key="--fold",
            found=fold,
        )
    return int(fold), split


def check_finetune(
    fold: int | None, folds: Path | None, leave_out: list[str] | None, stage: str | None
) -> None:
    """Refuse options that a fine-tuning decides by itself.

    Raises:
        InputError: One is given; the error names the first.
    """
    from bigkingxxl.errors import InputError

    given = {"--fold": fold, "--folds": folds, "--leave-out": leave_out or None}
    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"{name} is given, but a fine-tuning keeps images back in turn by itself: leave it "
                "out",
                key=name,
            )
    if stage not in (None, "all", "settings"):
        raise InputError(
            f"--stage is '{stage}', expected 'settings' or 'all'",
            key="--stage",
            found=stage,
            expected=("settings", "all"),
        )


def refuse_several(devices: int) -> None:
    """Refuse to fine-tune on several devices, because its trainings take only minutes."""
    from bigkingxxl.errors import InputError

    if devices > 1:
        raise InputError(
            "fine-tuning runs on one device: leave --devices and --nodes out", key="--devices"
        )


def refuse_finetune(config: str, stage: str | None, json_lines: bool) -> None:
    """Refuse options of fine-tuning for a recipe that is no fine-tuning.

    Raises:
        InputError: One is given.
    """
    from bigkingxxl.errors import InputError

    given = "--stage" if stage is not None else "--json-lines" if json_lines else None
    if given is not None:
        raise InputError(
            f"{given} is only for fine-tuning (the recipe finetune), not for '{config}'",
            key=given,
            found=config,
            expected="finetune",
        )


def tune(
    recipe: Recipe, annotated: Dataset, folder: Path, *, stage: str | None, resume: bool,
    device: str, as_json: bool, json_lines: bool, quiet: bool,
) -> None:  # fmt: skip
    """Fine-tune, and print the progress and the result."""
    from bigkingxxl.cli.finetune_report import reporter, result_text
    from bigkingxxl.training.finetune.run import finetune

    with reporter(json_lines=json_lines, quiet=quiet) as report:
        result = finetune(
            recipe, annotated, folder, stage="settings" if stage == "settings" else "all",
            resume=resume, device=device, report=report,
        )  # fmt: skip
    if as_json and not json_lines:
        print_json(result)
    elif not json_lines:
        typer.echo(result_text(result))
