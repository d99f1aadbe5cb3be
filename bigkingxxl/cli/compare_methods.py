"""What `bigkingxxl compare` does: read or predict the cells of each method, score and report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bigkingxxl.cli.json_output import print_json

if TYPE_CHECKING:
    from bigkingxxl.evaluation.compared_methods import ComparedMethod, Taken
    from bigkingxxl.evaluation.comparison import Comparison
    from bigkingxxl.evaluation.truth import Truth


@dataclass(frozen=True)
class CompareOptions:
    """The options of `bigkingxxl compare`.

    Attributes:
        methods: Models, ensembles, runs and results, optionally as NAME=PLACE.
        truth: The annotated images.
        metrics: The metrics, or None for the usual ones.
        tables: The files for the table.
        report: The file for the HTML page.
        as_json: Whether to print JSON.
        fold: The fold whose validation images are used.
        folds: The split, if it is not that of the truth.
        images: The file that names the images to use.
        only_common: Whether to use only images that all results name.
        groups: A table of the images that share a field or well.
        coco_files: The COCO files whose ids the results use, optionally as NAME:FILE.
        categories: The cell types of the category ids, optionally as NAME:TYPES.
        out: The folder that keeps predictions.
        device: The device.
        skip_bad: Whether to skip what cannot be read.
        quiet: Whether to show no progress.
    """

    methods: tuple[str, ...]
    truth: Path
    metrics: tuple[str, ...] | None = None
    tables: tuple[Path, ...] = ()
    report: Path | None = None
    as_json: bool = False
    fold: int | None = None
    folds: Path | None = None
    images: Path | None = None
    only_common: bool = False
    groups: Path | None = None
    coco_files: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    out: Path | None = None
    device: str = "auto"
    skip_bad: bool = False
    quiet: bool = False


def compare_methods(options: CompareOptions) -> None:
    """Compare the methods, then print and write the result.

    Raises:
        InputError: Fewer than two methods are named, or an option is impossible.
        FormatError: Results violate their format.
        OutputError: A file cannot be written.
    """
    from bigkingxxl.evaluation.compared_methods import find_methods
    from bigkingxxl.evaluation.comparison import STANDARD, compare
    from bigkingxxl.evaluation.comparison_table import write_comparison
    from bigkingxxl.evaluation.grouping import groups_of
    from bigkingxxl.evaluation.metrics.registry import find_metrics
    from bigkingxxl.evaluation.truth import read_truth

    check_options(options)
    metrics = STANDARD if options.metrics is None else options.metrics
    find_metrics(metrics)
    participants = find_methods(options.methods)
    check_names(options, participants)
    annotated = read_truth(options.truth, skip_bad=options.skip_bad)
    taken = given_results(options, participants, annotated)
    ids = chosen(options, annotated, taken)
    run_models(options, participants, ids, taken)
    result = compare(
        {each.name: taken[each.name] for each in participants}, annotated, ids,
        groups_of(annotated, options.groups), metrics,
    )  # fmt: skip
    for path in options.tables:
        write_comparison(path, result)
    if options.report is not None:
        from bigkingxxl.evaluation.report.evaluation_report import write_comparison_report

        write_comparison_report(options.report, result, annotated)
    show(result, as_json=options.as_json)


def check_options(options: CompareOptions) -> None:
    """Check the number of methods and the files to write before anything is read.

    Raises:
        InputError: Fewer than two methods are named.
        OutputError: A file would replace one of another kind.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.comparison_table import check_table_file
    from bigkingxxl.evaluation.report.page import START
    from bigkingxxl.files import check_same_kind

    if len(options.methods) < 2:
        raise InputError(
            "only one method is named, expected two or more (`bigkingxxl evaluate` scores a "
            "single one)",
            key="METHODS",
            found=len(options.methods),
        )
    for path in options.tables:
        check_table_file(path)
    if options.report is not None:
        check_same_kind(options.report, START, "an earlier report")


def check_names(options: CompareOptions, participants: Sequence[ComparedMethod]) -> None:
    """Check that options for single methods name a method, before anything is read.

    Raises:
        InputError: One does not.
    """
    from bigkingxxl.cli.compare_results import categories_of, numberings

    names = [each.name for each in participants]
    numberings(options.coco_files, names)
    categories_of(options.categories, names)


def given_results(
    options: CompareOptions, participants: Sequence[ComparedMethod], annotated: Truth
) -> dict[str, Taken]:
    """Read the results of the methods that are not models.

    Raises:
        FormatError: Results violate their format.
    """
    from bigkingxxl.cli.compare_results import categories_of, numberings
    from bigkingxxl.evaluation.compared_methods import take_results

    names = [each.name for each in participants]
    numbering = numberings(options.coco_files, names)
    categories = categories_of(options.categories, names)
    return {
        each.name: take_results(
            each, annotated, skip_bad=options.skip_bad, numbering=numbering.get(each.name),
            categories=categories.get(each.name),
        )
        for each in participants if not each.models
    }  # fmt: skip


def chosen(options: CompareOptions, annotated: Truth, taken: dict[str, Taken]) -> tuple[str, ...]:
    """Return the images of the truth that are compared.

    Raises:
        InputError: Options contradict each other, or no image is left.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.chosen_images import ids_of_file, ids_of_fold

    fold, images, only_common = options.fold, options.images, options.only_common
    if options.folds is not None and fold is None:
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
        return ids_of_fold(annotated, fold, options.folds)
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
    options: CompareOptions,
    participants: Sequence[ComparedMethod],
    ids: Sequence[str],
    taken: dict[str, Taken],
) -> None:
    """Predict with each model among the methods, and add the cells that it found."""
    from bigkingxxl.data.dataset import open_dataset
    from bigkingxxl.display_text import counted
    from bigkingxxl.evaluation.compared_methods import run_model

    models = [each for each in participants if each.models]
    if not models:
        return
    dataset = open_dataset(options.truth)
    with ExitStack() as stack:
        folder = options.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for each in models:
            if not options.quiet:
                typer.echo(f"predicting {counted(len(ids), 'image')} with {each.name}", err=True)
            taken[each.name] = run_model(each, dataset, ids, folder, options.device)


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
