"""`bigkingxxl evaluate`: predictions in any format, scored against the truth."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json
from bigkingxxl.cli.open_data import SkipBad

if TYPE_CHECKING:
    from bigkingxxl.evaluation.evaluation import Evaluation
    from bigkingxxl.evaluation.predictions import Predictions
    from bigkingxxl.evaluation.truth import Truth

PER_IMAGE_COLUMNS = ("id", "cell_type", "named", "cells", "predicted", "map")


def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="A submission csv, COCO json, a run's folder, or a folder of label images, "
            "_seg.npy, ImageJ ROIs, GeoJSON ..."
        ),
    ],
    truth: Annotated[
        Path,
        typer.Argument(help="A data set of any layout, a COCO json or a folder of label images."),
    ],
    as_json: AsJson = False,
    per_image: Annotated[
        Path | None, typer.Option(help="Write the score of every image to this csv file.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write one HTML page of scores and plots to this file.")
    ] = None,
    fold: Annotated[
        int | None, typer.Option(min=0, help="Score only the validation images of this fold.")
    ] = None,
    folds: Annotated[
        Path | None, typer.Option(help="File of the split (default: folds.csv of the truth).")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Score only the images named in this file, one per line.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="Metrics to print, such as f1@0.5,pq,seg, or 'all'."),
    ] = None,
    per_cell: Annotated[
        Path | None, typer.Option(help="Write the outcome for every cell to this csv file.")
    ] = None,
    matches: Annotated[
        Path | None,
        typer.Option(help="Write every pair of overlapping cells to this csv file."),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(help="A csv file with id,group: which images share a field or well."),
    ] = None,
    skip_bad: SkipBad = False,
    only_predicted: Annotated[
        bool, typer.Option("--only-predicted", help="Score only images that PREDICTIONS names.")
    ] = False,
    as_predicted: Annotated[
        bool,
        typer.Option(
            "--as-predicted",
            help="Score the predicted cells of a run, even if they were corrected.",
        ),
    ] = False,
) -> None:
    """Score predictions against the truth: the competition mAP, COCO's AP, and any other metric.

    Metrics: f1, precision, recall, ap (each at an IoU: f1@0.75), map, coco, pq, pq-type, seg, det,
    aji, aji+, boundary, counts, counts-field, confluence, errors, recall-size, recall-density.
    docs/metrics.md gives their formulas.

    Intervals are 95 % bootstrap intervals; all images of a field, well or sample are drawn
    together.

    Cells are not counted if more than half of their area lies where the truth is not annotated.

    An image of the truth that the predictions do not name scores 0, unless --fold, --images or
    --only-predicted selects images. The command always reports how many images were scored and how
    many were missing.

    If a run has corrected cells, these are scored, and a note says so. Against the run's own
    `corrections`, or with --as-predicted, the cells that the model found are scored.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.evaluation import evaluate_predictions
    from bigkingxxl.evaluation.grouping import groups_of
    from bigkingxxl.evaluation.metrics.registry import STANDARD, find_metrics
    from bigkingxxl.evaluation.predictions import read_predictions
    from bigkingxxl.evaluation.truth import read_truth

    if folds is not None and fold is None:
        raise InputError(
            "--folds names a split: choose the fold to score with --fold", key="--fold"
        )
    if (fold is not None) + (images is not None) + only_predicted > 1:
        raise InputError(
            "--fold, --images and --only-predicted cannot be combined",
            key="--fold",
            expected=("--fold", "--images", "--only-predicted"),
        )
    files = [each.absolute() for each in (per_image, per_cell, matches, report) if each is not None]
    if len(set(files)) < len(files):
        raise InputError(
            "two of --per-image, --per-cell, --matches and --report name one file, expected others",
            key="--report",
            expected=("--per-image", "--per-cell", "--matches", "--report"),
        )
    wanted = STANDARD if metrics is None else metrics
    find_metrics(wanted)  # before anything is read
    refuse_other_files(per_image, per_cell, matches, report)
    annotated = read_truth(truth, skip_bad=skip_bad)
    found = read_predictions(predictions, annotated, skip_bad=skip_bad, as_predicted=as_predicted)
    chosen = chosen_ids(annotated, found, fold, folds, images, only_predicted)
    result = evaluate_predictions(annotated, found, chosen, groups_of(annotated, groups), wanted)
    write_tables(result, per_image, per_cell, matches)
    if report is not None:
        from bigkingxxl.evaluation.report.evaluation_report import (
            sources_of,
            write_evaluation_report,
        )

        facts = {"predictions": predictions, "truth": truth}
        write_evaluation_report(report, result, sources_of(annotated), title=predictions.name,
                                facts=facts, notes=result.notes)  # fmt: skip
    show(result, predictions, truth, as_json=as_json, only_metrics=metrics is not None)


def refuse_other_files(
    per_image: Path | None, per_cell: Path | None, matches: Path | None, report: Path | None
) -> None:
    """Refuse to replace files that an earlier call did not write, such as the truth itself."""
    from bigkingxxl.evaluation.cell_rows import CELL_COLUMNS, MATCH_COLUMNS
    from bigkingxxl.evaluation.report.page import START
    from bigkingxxl.files import check_same_kind

    tables = ((per_image, PER_IMAGE_COLUMNS), (per_cell, CELL_COLUMNS), (matches, MATCH_COLUMNS))
    for path, columns in tables:
        if path is not None:
            check_same_kind(path, ",".join(columns[:3]) + ",", "an earlier table of this kind")
    if report is not None:
        check_same_kind(report, START, "an earlier report")


def show(
    result: Evaluation, predictions: Path, truth: Path, *, as_json: bool, only_metrics: bool
) -> None:
    """Print the scores to stdout."""
    notes = list(result.notes)
    # Overlapping predictions have no competition mAP, but all metrics that accept overlaps.
    with_competition = result.is_disjoint or not only_metrics
    if with_competition and result.competition.nothing_note is not None:
        notes.append(result.competition.nothing_note)
    if as_json:
        print_json({
            "predictions": str(predictions), "truth": str(truth),
            **(result.competition.as_dict() if with_competition else {"competition_map": None}),
            "coco": result.coco.as_dict(), "metrics": result.scores.as_dict(),
            "groups": result.scores.groups, "grouped_by": result.groups.grouped_by, "notes": notes,
        })  # fmt: skip
    else:
        from bigkingxxl.cli.scores import print_metrics, print_scores

        if only_metrics:
            print_metrics(result, notes)
        else:
            print_scores(result.competition, result.coco, notes, result)


def write_tables(
    result: Evaluation, per_image: Path | None, per_cell: Path | None, matches: Path | None
) -> None:
    """Write the requested tables."""
    from bigkingxxl.evaluation.cell_rows import write_cells, write_matches

    if per_image is not None:
        write_per_image(per_image, result)
    if per_cell is not None:
        write_cells(per_cell, result.pairs.values())
    if matches is not None:
        write_matches(matches, result.pairs.values())


def chosen_ids(
    truth: Truth,
    found: Predictions,
    fold: int | None,
    folds: Path | None,
    images: Path | None,
    only_predicted: bool,
) -> tuple[str, ...]:
    """Return the images of the truth that are scored."""
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.chosen_images import ids_of_file, ids_of_fold

    if fold is not None:
        return ids_of_fold(truth, fold, folds)
    if images is not None:
        return ids_of_file(images, truth.sizes)
    if only_predicted:
        named = tuple(image_id for image_id in truth.ids if image_id in found.cells)
        if not named:
            raise InputError(f"the predictions name no image of {truth.path}", file=truth.path)
        return named
    return truth.ids


def write_per_image(path: Path, result: Evaluation) -> None:
    """Write one row per image: its facts, its total score, per threshold, and every metric."""
    from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT
    from bigkingxxl.io.tables.csv_table import write_table

    thresholds = [f"at_{threshold / 100:.2f}" for threshold in THRESHOLDS_PERCENT]
    first = [*PER_IMAGE_COLUMNS, *thresholds, "group"]
    others = {key: each for key, each in result.scores.per_image.items() if key not in first}
    write_table(
        path,
        [*first, *others],
        (
            [
                image_id, part.cell_type or "", int(part.named), part.cells, part.predicted,
                f"{part.score:.6f}", *(f"{value:.6f}" for value in part.by_threshold),
                result.groups.of.get(image_id, ""),
                *("" if isnan(each[place]) else f"{each[place]:.6f}" for each in others.values()),
            ]
            for place, (image_id, part) in enumerate(result.competition.per_image.items())
        ),
    )  # fmt: skip
