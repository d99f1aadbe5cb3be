"""`bigkingxxl report`: one page on a run, with or without truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json
from bigkingxxl.cli.open_data import SkipBad
from bigkingxxl.display_text import printable


def report(
    run: Annotated[Path, typer.Argument(help="The folder of `bigkingxxl predict`.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write (default: report.html in the run's folder).")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Annotated images: score the run against them.")
    ] = None,
    as_json: AsJson = False,
    skip_bad: SkipBad = False,
) -> None:
    """Write one HTML page about a run; it needs no other file and no network, and it prints well.

    Without a truth, the page shows the number of cells, their sizes, the doubtful ones, and a
    picture of every image with outlines, the most doubtful images first. With --truth, it shows
    what `evaluate --report` writes, for the images of the run.
    """
    from bigkingxxl.evaluation.report.page import START
    from bigkingxxl.files import check_same_kind
    from bigkingxxl.runs.reader import open_run

    place = out or run / "report.html"
    found = open_run(run)
    check_same_kind(place, START, "an earlier report")
    name = run.resolve().name
    if truth is None:
        from bigkingxxl.evaluation.report.without_truth import write_run_report

        told = [write_run_report(place, found, title=name)]
    else:
        told = _scored(place, run, truth, name, skip_bad)
    if as_json:
        print_json({
            "report": place, "run": run, "truth": truth, "images": len(found), "notes": told,
        })  # fmt: skip
    else:
        typer.echo(str(place))
    for sentence in told:
        typer.echo(f"bigkingxxl: {printable(sentence)}", err=True)


def _scored(place: Path, run: Path, truth: Path, title: str, skip_bad: bool) -> list[str]:
    """Write the page; return what its readers should know about the run's cells."""
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.evaluation import evaluate_predictions
    from bigkingxxl.evaluation.grouping import groups_of
    from bigkingxxl.evaluation.predictions import read_predictions
    from bigkingxxl.evaluation.report.evaluation_report import sources_of, write_evaluation_report
    from bigkingxxl.evaluation.truth import read_truth

    annotated = read_truth(truth, skip_bad=skip_bad)
    predictions = read_predictions(run, annotated, skip_bad=skip_bad)
    ids = tuple(image_id for image_id in annotated.ids if image_id in predictions.cells)
    if not ids:
        raise InputError(f"{run} has no image of {truth}", file=run, expected=truth)
    result = evaluate_predictions(annotated, predictions, ids, groups_of(annotated))
    write_evaluation_report(
        place, result, sources_of(annotated), title=title,
        facts={"run": run, "truth": truth}, notes=result.notes,
    )  # fmt: skip
    return list(predictions.notes)
