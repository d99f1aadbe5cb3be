"""`bigkingxxl compare`: models, ensembles, runs and other tools' results on the same images."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json
from bigkingxxl.cli.open_data import SkipBad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bigkingxxl.evaluation.compared_methods import ComparedMethod, Taken
    from bigkingxxl.evaluation.comparison import Comparison
    from bigkingxxl.evaluation.truth import Truth


def compare(
    methods: Annotated[
        list[str],
        typer.Argument(
            help="Models, models joined by '+', runs, or results; NAME=PLACE names one."
        ),
    ],
    truth: Annotated[
        Path,
        typer.Option(help="A data set of any layout, a COCO json or a folder of label images."),
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="Metrics such as f1@0.5,pq,seg, or 'all' (see `evaluate --help`)."),
    ] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option(help="Write the table to this .csv, .md or .tex file; may be repeated."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write one HTML page of scores and plots to this file.")
    ] = None,
    as_json: AsJson = False,
    fold: Annotated[
        int | None, typer.Option(min=0, help="Use only the validation images of this fold.")
    ] = None,
    folds: Annotated[
        Path | None, typer.Option(help="File of the split (default: folds.csv of the truth).")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Use only the images named in this file, one per line.")
    ] = None,
    only_common: Annotated[
        bool, typer.Option("--only-common", help="Use only images that all results name.")
    ] = False,
    groups: Annotated[
        Path | None,
        typer.Option(help="A csv file with id,group: which images share a field or well."),
    ] = None,
    coco_file: Annotated[
        list[str] | None,
        typer.Option(
            help="The COCO file whose ids of images and types the results use; NAME:FILE for the "
            "results of one method. May be repeated."
        ),
    ] = None,
    categories: Annotated[
        list[str] | None,
        typer.Option(
            help="Cell types of the category ids in results, such as 0=astro,1=cort; "
            "NAME:0=astro,1=cort for the results of one method. May be repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep predictions in this folder for a later call.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    skip_bad: SkipBad = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Compare methods on the same images by the same metrics, with paired differences.

    A method is a model (a file or a shipped name), an ensemble (models joined by '+'), the folder
    of a run, or results of another tool: Cellpose's _seg.npy or _cp_masks, StarDist's label images,
    COCO results of MMDetection, Detectron2 and Ultralytics, or a submission csv. Models are run by
    this command, each in its own process, and the table shows their time and memory.

    The other methods are compared with the first. Differences are paired: each bootstrap sample
    draws the same fields or wells for both methods.

    All images of the truth are used, unless --fold, --images or --only-common selects images. If
    results do not name an image, they count as if no cell was found in it.
    """
    from bigkingxxl.cli.compare_results import categories_of, numberings
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.compared_methods import find_methods, take_results
    from bigkingxxl.evaluation.comparison import STANDARD, compare
    from bigkingxxl.evaluation.comparison_table import check_table_file, write_comparison
    from bigkingxxl.evaluation.grouping import groups_of
    from bigkingxxl.evaluation.metrics.registry import find_metrics
    from bigkingxxl.evaluation.report.page import START
    from bigkingxxl.evaluation.truth import read_truth
    from bigkingxxl.files import check_same_kind

    if len(methods) < 2:
        raise InputError(
            "only one method is named, expected two or more (`bigkingxxl evaluate` scores a "
            "single one)",
            key="METHODS",
            found=len(methods),
        )
    for path in table or ():
        check_table_file(path)
    if report is not None:
        check_same_kind(report, START, "an earlier report")
    wanted = STANDARD if metrics is None else metrics
    find_metrics(wanted)
    participants = find_methods(methods)
    names = [each.name for each in participants]
    numbering = numberings(coco_file or (), names)
    named = categories_of(categories or (), names)
    annotated = read_truth(truth, skip_bad=skip_bad)
    taken: dict[str, Taken] = {
        each.name: take_results(
            each, annotated, skip_bad=skip_bad, numbering=numbering.get(each.name),
            categories=named.get(each.name),
        )
        for each in participants if not each.models
    }  # fmt: skip
    ids = chosen(annotated, taken, fold, folds, images, only_common)
    run_models(participants, annotated.path, ids, taken, out, device, quiet)
    result = compare(
        {each.name: taken[each.name] for each in participants}, annotated, ids,
        groups_of(annotated, groups), wanted,
    )  # fmt: skip
    for path in table or ():
        write_comparison(path, result)
    if report is not None:
        from bigkingxxl.evaluation.report.evaluation_report import write_comparison_report

        write_comparison_report(report, result, annotated)
    show(result, as_json=as_json)


def chosen(
    annotated: Truth,
    taken: dict[str, Taken],
    fold: int | None,
    folds: Path | None,
    images: Path | None,
    only_common: bool,
) -> tuple[str, ...]:
    """Return the images of the truth that are compared."""
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.chosen_images import ids_of_file, ids_of_fold

    if folds is not None and fold is None:
        raise InputError(
            "--folds names a split: choose the fold for the comparison with --fold", key="--fold"
        )
    if (fold is not None) + (images is not None) + only_common > 1:
        raise InputError(
            "--fold, --images and --only-common cannot be combined",
            key="--fold",
            expected=("--fold", "--images", "--only-common"),
        )
    if fold is not None:
        return ids_of_fold(annotated, fold, folds)
    if images is not None:
        return ids_of_file(images, annotated.sizes)
    if not only_common:
        return annotated.ids
    common = tuple(
        image_id for image_id in annotated.ids
        if all(image_id in each.predictions.cells for each in taken.values())
    )  # fmt: skip
    if not common:
        raise InputError(
            f"no image of {annotated.path} is named by all results", file=annotated.path
        )
    return common


def run_models(
    participants: Sequence[ComparedMethod],
    truth: Path,
    ids: Sequence[str],
    taken: dict[str, Taken],
    out: Path | None,
    device: str,
    quiet: bool,
) -> None:
    """Predict with each model among the methods, and add the cells that it found."""
    from bigkingxxl.data.dataset import open_dataset
    from bigkingxxl.display_text import counted
    from bigkingxxl.evaluation.compared_methods import run_model

    models = [each for each in participants if each.models]
    if not models:
        return
    dataset = open_dataset(truth)
    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for each in models:
            if not quiet:
                typer.echo(f"predicting {counted(len(ids), 'image')} with {each.name}", err=True)
            taken[each.name] = run_model(each, dataset, ids, folder, device)


def show(result: Comparison, *, as_json: bool) -> None:
    """Print the table to stdout."""
    if as_json:
        print_json(result.as_dict())
        return
    from rich.console import Console

    from bigkingxxl.cli.scores import plain_table, print_wide
    from bigkingxxl.evaluation.comparison_table import table_cells

    console = Console(highlight=False, markup=False)
    cells = table_cells(result, console.width if console.is_terminal else None)
    table = plain_table(*cells.header)
    for row in cells.rows:
        table.add_row(*row)
    print_wide(table)
    console.print(f"{cells.caption}.")
    if any(len(each.values) > 1 for each in result.entries[0].evaluation.scores.metrics):
        console.print("The first number of each metric is shown; --table FILE.csv has all of them.")
    for note in result.notes:
        console.print(f"Note: {note}.")
