"""Open a data set for a command, and report on stderr what was left out or may surprise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bigkingxxl.data.base import Dataset

SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave bad rows and images out and name them.")
]


def open_data(path: Path, skip_bad: bool) -> Dataset:
    """Open a data set and report on it."""
    from bigkingxxl.data.dataset import open_dataset

    return say_of(open_dataset(path, skip_bad=skip_bad))


def say_of(dataset: Dataset) -> Dataset:
    """Report on a data set and return it."""
    for sentence in dataset.skipped:
        typer.echo(f"skipped: {sentence}", err=True)
    for sentence in dataset.notes:
        typer.echo(f"note: {sentence}", err=True)
    return dataset
