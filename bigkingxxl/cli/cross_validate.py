"""`bigkingxxl train --fold all`: a model for each fold, and their out-of-fold scores."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bigkingxxl.cli.json_output import print_json
from bigkingxxl.cli.scores import plain_table, print_wide, wide_console

if TYPE_CHECKING:
    from bigkingxxl.data.base import Dataset
    from bigkingxxl.training.folds.run import FoldsResult
    from bigkingxxl.training.folds.scores import Score
    from bigkingxxl.training.recipe import Recipe

ALL_FOLDS = "all"


def check_all_folds(
    leave_out: list[str] | None, stage: str | None, json_lines: bool, devices: int
) -> None:
    """Refuse options that contradict a cross-validation.

    Raises:
        InputError: An option does; the error names the first.
    """
    from bigkingxxl.errors import InputError

    if leave_out:
        raise InputError(
            f"--fold all keeps back parts of one data set in turn, but --leave-out {leave_out[0]} "
            "keeps back a whole data set: use only one of the two",
            key="--fold",
            found="--leave-out",
        )
    if stage is not None or json_lines:
        given = "--json-lines" if stage is None else "--stage"
        raise InputError(
            f"{given} is only for fine-tuning and cannot be combined with --fold all",
            key="--fold",
            found=given,
        )
    if devices > 1:
        raise InputError(
            "--fold all trains the folds one after the other on one device: to use several, "
            "train each fold in a job of its own (--fold 0 --out RUN/fold0 ...), then run --fold "
            "all --out RUN --resume",
            key="--fold",
        )


def cross_validate(
    recipe: Recipe, dataset: Dataset, folder: Path, folds: str | None, *, device: str,
    resume: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train all folds and print their scores; the exit code is 1 if one failed.

    Args:
        recipe: The recipe.
        dataset: The annotated images.
        folder: The folder of the run.
        folds: Number of folds, or the file of a split.
        device: Where to train.
        resume: Continue an interrupted run.
        as_json: Print JSON instead of text.
        quiet: Show no progress.
    """
    from bigkingxxl.cli.progress import track
    from bigkingxxl.training.folds.run import train_folds

    def report(sentence: str) -> None:
        if not quiet:
            typer.echo(sentence, err=True)

    count, split = count_or_file(folds)
    result = train_folds(
        recipe, dataset, folder, count=count, folds_file=split, device=device, resume=resume,
        quiet=quiet, report=report, track=partial(track, quiet=quiet),
    )  # fmt: skip
    if as_json:
        print_json(result.as_dict())
    else:
        print_folds(result)
    if result.failed or result.failed_images:
        raise typer.Exit(1)


def count_or_file(folds: str | None) -> tuple[int | None, Path | None]:
    """Parse a number of folds or the file of a split; an existing file takes precedence."""
    if folds is None:
        return None, None
    if folds.removeprefix("-").isdecimal() and not Path(folds).exists():
        return int(folds), None
    return None, Path(folds)


def print_folds(result: FoldsResult) -> None:
    """Print a table with one row per fold, one for all images, and the notes."""
    names = list(dict.fromkeys(name for row in result.rows for name in row.scores))
    columns = [column for name in names for column in (name, "95 %")]
    table = plain_table("fold", "images", "cells", *columns)
    for row in result.rows:
        scores = [row.scores.get(name) for name in names]
        table.add_row(row.name, f"{row.images}", f"{row.cells}",
                      *(text for each in scores for text in _texts(each)))  # fmt: skip
    for fold in result.failed:
        table.add_row(f"{fold}", "failed", "", *[""] * len(columns))
    print_wide(table)
    console = wide_console()
    console.print(
        "Each image is predicted by the model that did not learn from it, under thresholds tuned "
        "on images of other folds."
    )
    for fold, reason in result.failed.items():
        console.print(f"Fold {fold} failed: {reason}")
    for image_id, reason in result.failed_images.items():
        console.print(f"{image_id} failed: {reason}")
    for note in result.notes:
        console.print(f"Note: {note}.")
    console.print(f"{result.run}: the results out of fold, for evaluate, compare and report")
    if result.ensemble is not None:
        console.print(
            f"{result.ensemble}: an ensemble of the {len(result.models)} models, for predict "
            "--model; it cannot be scored on these images, because each of them was used to "
            "train some of its models"
        )


def _texts(score: Score | None) -> tuple[str, str]:
    """Format a score and its interval."""
    if score is None or score.value is None:
        return "-", ""
    if score.interval is None:
        return f"{score.value:.4f}", ""
    low, high = score.interval
    return f"{score.value:.4f}", f"{low:.4f} to {high:.4f}"
