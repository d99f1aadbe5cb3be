"""`bigkingxxl calibrate`: scores that say how well a mask fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bigkingxxl.cli.json_output import AsJson
from bigkingxxl.cli.open_data import SkipBad, open_data
from bigkingxxl.settings import LARGEST_SEED

if TYPE_CHECKING:
    from bigkingxxl.data.base import Dataset
    from bigkingxxl.training.calibrate import Calibrated


def calibrate(
    model: Annotated[str, typer.Argument(help="A model file, or the name of a shipped model.")],
    data: Annotated[Path, typer.Option(help="Annotated images, any known layout.")],
    fold: Annotated[
        int | None, typer.Option(min=0, help="Use the training images of this fold.")
    ] = None,
    folds: Annotated[Path | None, typer.Option(help="The split, if not DATA/folds.csv.")] = None,
    images: Annotated[
        int | None,
        typer.Option(min=1, help="Use at most this many images, with cell types in even numbers."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a calibrated copy, and leave the model as it is.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of all random numbers.")
    ] = 0,
    as_json: AsJson = False,
    skip_bad: SkipBad = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Calibrate scores: make them the IoU that masks are expected to have with true cells.

    The command compares candidates with annotated cells, and a small network learns how well a mask
    fits, given its score, size and cell type. It uses the training images and no image of the
    validation fold. Score thresholds are chosen again; run `tune` afterwards.
    """
    from bigkingxxl.cli.progress import track
    from bigkingxxl.cli.tune_options import of_its_types, where_to
    from bigkingxxl.cli.tune_result import print_json
    from bigkingxxl.inference.load_model import load_predictor
    from bigkingxxl.model_files import read_card, resolve_model, write_card
    from bigkingxxl.training.calibrate import (
        calibrate,
        calibrated_card,
        compared,
        unfiltered_parameters,
    )

    path = resolve_model(model)
    target = where_to(model, path, out)
    card, annotated = read_card(path), open_data(data, skip_bad)
    ids, notes = of_its_types(card, annotated, training_ids(annotated, fold, folds, images))
    predictor, _ = load_predictor(path, device)
    found = compared(predictor, annotated, track(ids, label="predicting", quiet=quiet))
    result = calibrate(found, annotated, card.type_names, seed)
    write_card(path, calibrated_card(card, result, unfiltered_parameters(predictor)), target)
    if as_json:
        print_json(path, target, result.as_dict(), notes)
    else:
        print_result(target, result, notes)


def training_ids(
    annotated: Dataset, fold: int | None, folds: Path | None, count: int | None
) -> tuple[str, ...]:
    """Return the images for fitting.

    Raises:
        InputError: There is a split without a fold, or no such fold.
    """
    from bigkingxxl.data.split import fold_ids
    from bigkingxxl.errors import InputError
    from bigkingxxl.training.even_sampling import evenly_by_type

    if fold is None and folds is not None:
        raise InputError(
            "--folds names a split: name the validation fold of the model with --fold", key="--fold"
        )
    ids = annotated.ids if fold is None else fold_ids(annotated, fold, folds_file=folds)[0]
    return ids if count is None else evenly_by_type(ids, annotated, count)


def print_result(target: Path, result: Calibrated, notes: Sequence[str]) -> None:
    """Print the result for readers."""
    if result.before is not None and result.after is not None:
        typer.echo(
            f"Correlation of score and IoU on images held out: {result.before:.3f} before, "
            f"{result.after:.3f} now."
        )
    for note in notes:
        typer.echo(f"Note: {note}.")
    typer.echo(
        f"{target}: learned from {result.candidates} candidates in {result.images} images; cells "
        f"are kept from an expected IoU of {result.score_threshold:g} on"
    )
