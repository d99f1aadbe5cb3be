"""How commands open a data set: what was left out, and what may surprise, is said on stderr."""

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
    """The data set."""
    from bigkingxxl.data.dataset import open_dataset

    return say_of(open_dataset(path, skip_bad=skip_bad))


def say_of(dataset: Dataset) -> Dataset:
    """The data set, after what there is to say of it."""
    for sentence in dataset.skipped:
        typer.echo(f"skipped: {sentence}", err=True)
    for sentence in dataset.notes:
        typer.echo(f"note: {sentence}", err=True)
    return dataset
