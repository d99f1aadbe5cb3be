"""`bigkingxxl tables`: the tables of a run that shards or other processes did, from its records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson


def tables(
    run: Annotated[Path, typer.Argument(help="Folder that `bigkingxxl predict --out` wrote.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="More tables to make (see predict), several as 'a,b'."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace tables that were changed by hand, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the tables of a run whose images are done.

    This is the last step of `predict`, for runs in parts (`predict --shard`): it makes the
    measurements, the summary and the other tables of the run from the records of its images. It
    loads no model, and it reads only images that were corrected since they were measured. Images
    that failed are listed (exit code 1). Shards that have not ended are named (exit code 75): run
    them again, then this command.
    """
    from bigkingxxl.cli.predict import split_names
    from bigkingxxl.cli.progress import resumable
    from bigkingxxl.cli.run_report import show
    from bigkingxxl.runs.finish import finish_run

    with resumable():
        result = finish_run(run, split_names(formats or []), overwrite=overwrite)
    show(run, result, as_json=as_json)
