"""`bigkingxxl train`: a model from annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DATA = Path("dataset")


def train(
    config: Annotated[str, typer.Argument(help="A config file, or the name of a recipe.")],
    data: Annotated[Path, typer.Option(help="Annotated images, any known layout.")] = DEFAULT_DATA,
    out: Annotated[Path | None, typer.Option(help="Run folder (default: runs/CONFIG).")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, dots go deeper; repeatable.")
    ] = None,
    fold: Annotated[int, typer.Option(help="Validation fold; -1 trains on every image.")] = 0,
    folds: Annotated[Path | None, typer.Option(help="The split, if not DATA/folds.csv.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a broken run.")] = False,
    init: Annotated[Path | None, typer.Option(help="A model to start from.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a model on a data set; the best checkpoint becomes RUN/model.safetensors.

    The progress is in RUN/lightning_logs (tensorboard --logdir RUN).
    """
    from bigkingxxl.data.dataset import open_dataset
    from bigkingxxl.training import run
    from bigkingxxl.training.recipe import load_recipe

    recipe = load_recipe(config, settings or (), seed)
    folder = out or Path("runs") / Path(config).stem
    result = run.train(
        recipe, open_dataset(data), folder,
        fold=fold, folds_file=folds, device=device, resume=resume, initial=init, quiet=quiet,
    )  # fmt: skip
    typer.echo(
        f"{result.model}: {result.epochs} epochs, {result.minutes:.1f} minutes, "
        f"validation mAP {result.best_map:.3f} (in-sample: it chose the epoch)"
    )
