"""`bigkingxxl measure`: the cells of corrected label images, measured and shown again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.answer import AsJson


def measure(
    run: Annotated[Path, typer.Argument(help="Folder that `bigkingxxl predict --out` wrote.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="More formats to make, as of predict; several as 'a,b'."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace tables and pictures changed by hand too.")
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Measure cells again after they were corrected.

    Correct cells in `bigkingxxl view`, or in any program that saves the run's label images,
    `_seg.npy`, ROIs or GeoJSON under their names, then run this: measurements, summary, and the
    overlays, ROIs and other formats that the run has are made again from the cells as they are now.
    What was corrected is left as it is (a label image that was deleted is written again as it was
    predicted). A cell that was not changed keeps its score and is measured as before; a changed one
    keeps its type. A new one has the type that all others of its image share, else 'unknown'.
    """
    from functools import partial

    from bigkingxxl.cli.predict import split_names
    from bigkingxxl.cli.progress import resumable, track
    from bigkingxxl.cli.run_report import show
    from bigkingxxl.runs.remeasure import remeasure

    with resumable():
        result = remeasure(
            run, split_names(formats or []), overwrite=overwrite, track=partial(track, quiet=quiet)
        )
    sources = {run / place for place in result.corrected.values()}
    result.kept = [path for path in result.kept if not sources & {*path.parents}]  # what it is for
    show(run, result, as_json=as_json)
