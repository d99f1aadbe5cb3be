"""`bigkingxxl evaluate`: predictions of any format against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bigkingxxl.cli.answer import AsJson, print_json
from bigkingxxl.cli.opening import SkipBad

if TYPE_CHECKING:
    from bigkingxxl.evaluation.competition_map import CompetitionScore
    from bigkingxxl.evaluation.inputs import Predictions, Truth


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
        int | None, typer.Option(min=0, help="Score the images that this fold validates.")
    ] = None,
    folds: Annotated[
        Path | None, typer.Option(help="The split of --fold, if not the truth's own folds.csv.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Score the images named in this file, one per line.")
    ] = None,
    skip_bad: SkipBad = False,
    only_predicted: Annotated[
        bool, typer.Option("--only-predicted", help="Score the images that PREDICTIONS names.")
    ] = False,
) -> None:
    """Score predictions against the truth: the competition mAP and COCO's average precision.

    Cells of which more than a half lies where the truth is not annotated are not counted.

    An image of the truth that the predictions do not name scores 0, unless --fold, --images or
    --only-predicted narrows the truth. How many were scored and missing is always said.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.average_precision import coco_table
    from bigkingxxl.evaluation.competition_map import competition_map
    from bigkingxxl.evaluation.inputs import majority_type, read_predictions, read_truth
    from bigkingxxl.evaluation.partial import without_ignored

    if folds is not None and fold is None:
        raise InputError("--folds names a split: say which --fold of it is to be scored")
    if (fold is not None) + (images is not None) + only_predicted > 1:
        raise InputError("--fold, --images and --only-predicted exclude each other")
    annotated = read_truth(truth, skip_bad=skip_bad)
    found = read_predictions(predictions, annotated, skip_bad=skip_bad)
    chosen = chosen_ids(annotated, found, fold, folds, images, only_predicted)
    cells = {image_id: annotated.instances(image_id) for image_id in chosen}
    types = {image_id: majority_type(each) for image_id, each in cells.items()}
    cells, disjoint, note = without_ignored(cells, found.cells, annotated.ignored)
    _, masks, _ = without_ignored(cells, found.masks, annotated.ignored)
    competition = competition_map(cells, disjoint, types)
    coco = coco_table(cells, masks)
    notes = [*annotated.notes, *found.notes, *([note] if note else [])]
    if competition.nothing_note is not None:
        notes.append(competition.nothing_note)
    if per_image is not None:
        write_per_image(per_image, competition)
    if report is not None:
        from bigkingxxl.evaluation.report import write_report

        facts = {"predictions": predictions, "truth": truth, "images": len(chosen)}
        write_report(report, title=predictions.name, competition=competition, coco=coco,
                     facts=facts)  # fmt: skip
    if as_json:
        about = {"predictions": str(predictions), "truth": str(truth)}
        everything = {**about, **competition.as_dict(), "coco": coco.as_dict(), "notes": notes}
        print_json(everything)
    else:
        from bigkingxxl.cli.scores import print_scores

        print_scores(competition, coco, notes)


def chosen_ids(
    truth: Truth,
    found: Predictions,
    fold: int | None,
    folds: Path | None,
    images: Path | None,
    only_predicted: bool,
) -> tuple[str, ...]:
    """The images of the truth that are to be scored."""
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.inputs import ids_of_file, ids_of_fold

    if fold is not None:
        return ids_of_fold(truth, fold, folds)
    if images is not None:
        return ids_of_file(images, truth.sizes)
    if only_predicted:
        named = tuple(image_id for image_id in truth.ids if image_id in found.cells)
        if not named:
            raise InputError(f"the predictions name no image of {truth.path}")
        return named
    return truth.ids


def write_per_image(path: Path, score: CompetitionScore) -> None:
    """One row an image: what it is, and its score over all and at each threshold."""
    from bigkingxxl.evaluation.competition_map import THRESHOLDS_PERCENT
    from bigkingxxl.io.tables.csv_table import write_table

    thresholds = [f"at_{threshold / 100:.2f}" for threshold in THRESHOLDS_PERCENT]
    write_table(
        path,
        ["id", "cell_type", "named", "cells", "predicted", "map", *thresholds],
        (
            [
                image_id, part.cell_type or "", int(part.named), part.cells, part.predicted,
                f"{part.score:.6f}", *(f"{value:.6f}" for value in part.by_threshold),
            ]
            for image_id, part in score.per_image.items()
        ),
    )  # fmt: skip
