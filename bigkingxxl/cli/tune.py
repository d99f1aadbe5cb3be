"""`bigkingxxl tune`: a model's operating points, chosen on annotated images and saved in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson
from bigkingxxl.cli.open_data import SkipBad
from bigkingxxl.cli.tune_options import TuneOptions, asked_views
from bigkingxxl.settings import LARGEST_SEED


def tune(
    model: Annotated[
        str, typer.Argument(help="A model file, an ensemble's, or the name of a shipped model.")
    ],
    data: Annotated[Path, typer.Option(help="Annotated images, any known layout.")],
    fold: Annotated[
        int | None, typer.Option(min=0, help="Tune on the validation images of this fold.")
    ] = None,
    folds: Annotated[Path | None, typer.Option(help="The split, if not DATA/folds.csv.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a tuned copy, and leave the model as it is.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for plots of the mAP over each parameter.")
    ] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Folder that keeps the network's output for another call.")
    ] = None,
    tta: Annotated[
        str,
        typer.Option(
            help="Test-time augmentation: turn on flips, turns, scales, mirror ('a,b') or none; "
            "'auto' tries flips and keeps them if they are surely worth it."
        ),
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Allow images that the model was trained on.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    seed: Annotated[
        int,
        typer.Option(min=0, max=LARGEST_SEED, help="Seed of the halves of the cross-fitted score."),
    ] = 0,
    as_json: AsJson = False,
    skip_bad: SkipBad = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Choose a model's thresholds on annotated images, for each cell type.

    The network runs once per image. Then the command tries other values of each decoding and
    selection parameter. A parameter changes only where the gain is clear, and a cell type keeps its
    new parameters only where parameters tuned on other images help, too (the cross-fitted gain).
    The result is saved in the model file, together with the ids of the images, and predict uses
    it.

    The command prints the gain of test-time augmentation, as a difference of cross-fitted scores,
    and its cost. Augmentation is turned on if --tta names it, or if the gain is larger than chance
    explains.

    For an ensemble (.ensemble), the weights of the models are tuned, too. New weights are kept
    only if they raise the score on images that they were not chosen on. For each image, only the
    models that were not trained on it are used. The models of a cross-validation can therefore be
    tuned on all of its images.
    """
    from bigkingxxl.inference.ensemble_file import is_ensemble

    options = TuneOptions(
        model, data, fold, folds, out, plots, maps, asked_views(tta), force, device, seed, as_json,
        skip_bad, quiet,
    )  # fmt: skip
    if is_ensemble(model):
        from bigkingxxl.cli.tune_ensemble import tune_ensemble

        tune_ensemble(options)
    else:
        from bigkingxxl.cli.tune_model import tune_model

        tune_model(options)
