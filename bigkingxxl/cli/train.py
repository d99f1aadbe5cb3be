"""`bigkingxxl train`: a model from annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.answer import AsJson, print_json
from bigkingxxl.cli.opening import SkipBad, say_of
from bigkingxxl.settings import LARGEST_SEED

DEFAULT_DATA = [Path("dataset")]


def train(
    config: Annotated[str, typer.Argument(help="A config file, or the name of a recipe.")],
    data: Annotated[
        list[Path],
        typer.Option(
            help="Annotated images of any known layout, or a folder of such data sets; repeatable."
        ),
    ] = DEFAULT_DATA,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help="A data set that is only watched, by its folder's name; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder (default: runs/CONFIG).")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, dots go deeper; repeatable.")
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(
            help="Validation fold; -1 trains on every image (default: 0; few images: -1)."
        ),
    ] = None,
    folds: Annotated[Path | None, typer.Option(help="The split, if not DATA/folds.csv.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a broken run.")] = False,
    init: Annotated[
        str | None,
        typer.Option(help="The model to start from: the name of a shipped one, or a file."),
    ] = None,
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(help="Images without annotation, for recipes with a critic; repeatable."),
    ] = None,
    no_unlabelled: Annotated[
        bool, typer.Option("--no-unlabelled", help="Train the critic's recipe without them.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_SEED, help="Seed of everything random.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: AsJson = False,
    skip_bad: SkipBad = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a model on a data set and write it to RUN/model.safetensors.

    The checkpoint that is best on the validation fold is kept. `bigkingxxl train finetune` turns
    the bundled model into one for your own cells; five annotated images are enough. So few are all
    used for training, and the last checkpoint is kept. The progress is in RUN/lightning_logs
    (tensorboard --logdir RUN).
    """
    from bigkingxxl.data.joined import open_datasets
    from bigkingxxl.training import run
    from bigkingxxl.training.recipe import load_recipe

    recipe = load_recipe(config, settings or (), seed, init)
    recipe = recipe.with_unlabelled(unlabelled or (), use=not no_unlabelled)
    folder = out or Path("runs") / Path(config).stem
    result = run.train(
        recipe, say_of(open_datasets(data, leave_out or (), skip_bad=skip_bad)), folder,
        fold=fold, folds_file=folds, device=device, resume=resume, quiet=quiet,
    )  # fmt: skip
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
