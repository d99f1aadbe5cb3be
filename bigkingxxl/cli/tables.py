"""`bigkingxxl tables`: the tables of a run that shards or other processes did, from its records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.answer import AsJson


def tables(
    run: Annotated[Path, typer.Argument(help="Folder that `bigkingxxl predict --out` wrote.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="More tables to make, as of predict; several as 'a,b'."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace tables changed by hand too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the tables of a run whose images are done.

    What `predict` does at its end, for runs in parts (`predict --shard`): measurements, summary and
    the other tables of the run's formats, and always a summary, from the records of its images. No
    model is loaded, and only images that were corrected since they were measured are read. Images
    that failed are listed (exit code 1), and shards that have not ended are named (exit code 75:
    run them again, then this).
    """
    from bigkingxxl.cli.predict import split_names
    from bigkingxxl.cli.progress import resumable
    from bigkingxxl.cli.run_report import show
    from bigkingxxl.runs.finish import finish_run

    with resumable():
        result = finish_run(run, split_names(formats or []), overwrite=overwrite)
    show(run, result, as_json=as_json)
