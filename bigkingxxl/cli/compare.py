"""`bigkingxxl compare`: models, ensembles, runs and other tools' results on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.compare_methods import CompareOptions, compare_methods
from bigkingxxl.cli.json_output import AsJson
from bigkingxxl.cli.open_data import SkipBad


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
    options = CompareOptions(
        tuple(methods), truth, None if metrics is None else tuple(metrics), tuple(table or ()),
        report, as_json, fold, folds, images, only_common, groups, tuple(coco_file or ()),
        tuple(categories or ()), out, device, skip_bad, quiet,
    )  # fmt: skip
    compare_methods(options)
