"""`bigkingxxl measure`: the cells of corrected label images, measured and shown again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson


def measure(
    run: Annotated[Path, typer.Argument(help="Folder that `bigkingxxl predict --out` wrote.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="More formats to make (see predict), several as 'a,b'."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace tables and pictures that were changed by hand, too."
        ),
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Measure cells again after they were corrected.

    Correct cells in `bigkingxxl view`, or change the run's label images, `_seg.npy`, ROIs or
    GeoJSON in any program that saves them under the same names. Then run this command: it makes
    measurements, summary, overlays, ROIs and the other formats of the run again from the corrected
    cells. It does not change corrected files (but a deleted label image is written again as it was
    predicted). Unchanged cells keep their score, changed cells keep their type, and a new cell gets
    the type that all other cells of its image share, if there is one.
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
