"""`bigkingxxl data`: download, preprocess, convert, info, split, synthesize."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson, print_json
from bigkingxxl.cli.open_data import SkipBad, open_data
from bigkingxxl.cli.progress import tracker
from bigkingxxl.display_text import counted, printable
from bigkingxxl.settings import LARGEST_SEED

app = typer.Typer(
    no_args_is_help=True, help="Download, describe, convert, split and synthesise data sets."
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The data set.")]
Target = Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the data.")]
Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="The same seed gives the same result.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Workers = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Number of processes (default: one per core).")
]
DATASET = Path("dataset")


@app.command()
def download(
    folder: Target = DATASET,
    archive: Annotated[
        list[Path] | None,
        typer.Option(help="An archive that you have already, instead of Kaggle; repeatable."),
    ] = None,
    coco: Annotated[bool, typer.Option(help="Download the public COCO annotations, too.")] = True,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Keep the zips.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Download the challenge's data from Kaggle and unpack them.

    Credentials are found where Kaggle's own client finds them. An interrupted download continues
    where it stopped.
    """
    from bigkingxxl.data.fetch import download as downloads

    track = tracker(quiet)
    if archive:
        found = downloads.unpack_archives(folder, archive, track=track)
    else:
        found = downloads.download(folder, with_coco=coco, keep_archives=keep_archives, track=track)
    if as_json:
        archives = [
            {"name": each.name, "bytes": each.bytes, "sha256": each.sha256, "files": each.files}
            for each in found
        ]
        print_json({"folder": folder, "archives": archives})
        return
    for each in found:
        size = sum(each.files.values())
        typer.echo(f"{folder}: {each.name}, {len(each.files)} files, {size / 1e6:,.1f} MB unpacked")
        typer.echo(f"  archive of {each.bytes / 1e6:,.1f} MB, SHA-256 {each.sha256}")


@app.command()
def preprocess(
    folder: Folder = DATASET,
    out: Annotated[Path | None, typer.Option(help="Output folder (default: DIR).")] = None,
    fold: Annotated[int, typer.Option(min=0, help="Fold that becomes 'val'.")] = 0,
    folds: Annotated[Path | None, typer.Option(help="The split, if not DIR/folds.csv.")] = None,
    kinds: Annotated[
        str,
        typer.Option(
            "--only", help="Formats to write: masks, labels, tif, coco, with commas between."
        ),
    ] = "masks,labels,tif,coco",
    skip_bad: SkipBad = False,
    workers: Workers = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Convert a data set: masks by cell type, label images, Cellpose's TIF pairs, COCO.

    Files that exist already are not made again.
    """
    from bigkingxxl.cli.progress import resumable
    from bigkingxxl.data.preprocess import preprocess as run

    dataset = open_data(folder, skip_bad)
    target = out or (folder if folder.is_dir() else folder.parent)
    chosen = [name.strip() for name in kinds.split(",") if name.strip()]
    with resumable():
        done = run(
            dataset, target, fold=fold, folds_file=folds, kinds=chosen, workers=workers,
            track=tracker(quiet),
        )  # fmt: skip
    if as_json:
        print_json({"folder": target, **asdict(done)})
    else:
        kept = f" ({counted(done.kept, 'image')} done before)" if done.kept else ""
        images = counted(done.made + done.kept, "image")
        typer.echo(f"{target}: {images} with {counted(done.cells, 'cell')}{kept}")
        if done.hidden:
            typer.echo(
                f"  {done.hidden} cells are completely covered by others and are missing in label "
                "images"
            )
    for sentence in done.failed:
        typer.echo(f"bigkingxxl: {printable(sentence)}", err=True)
    if done.failed and not skip_bad:
        raise typer.Exit(1)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A data set, or a run's folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    name: Annotated[
        str,
        typer.Option(
            "--format",
            help="labels, cellpose, imagej, qupath, labelme, masks, ctc, coco, kaggle, submission.",
        ),
    ] = "labels",
    images: Annotated[bool, typer.Option(help="Copy the images, too.")] = True,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Convert a data set to the format of another program, together with its images.

    Formats: labels (images/ and labels/, as TIFF), cellpose, imagej, qupath and labelme
    (x_seg.npy, x.zip, x.geojson or x.json next to each image), masks (one mask per cell, as in
    DSB 2018), coco (annotations.json and images/), kaggle (train.csv and train/), submission
    (submission.csv), ctc (01/ and 01_GT/SEG/ of the Cell Tracking Challenge; frames.csv lists the
    frames).

    If a format cannot store types or scores, they are written to cell_types.csv, and anything
    that is lost is reported. Image files are copied unchanged; planes of a series become TIFF
    files. The formats coco, kaggle, submission and masks have no sub-folders: A1/x becomes A1_x.
    """
    from bigkingxxl.data import convert as conversion

    dataset = open_data(source, skip_bad)
    done = conversion.convert(dataset, out, name, images=images, track=tracker(quiet))
    if as_json:
        print_json({"out": out, "format": name, **asdict(done)})
    else:
        typer.echo(f"{out}: {done.images} images with {done.cells} cells")
        for sentence in done.notes:
            typer.echo(f"  {sentence}")
    for sentence in done.failed:
        typer.echo(f"bigkingxxl: {printable(sentence)}", err=True)
    if done.failed and not skip_bad:
        raise typer.Exit(1)


@app.command()
def info(
    folder: Folder = DATASET,
    as_json: AsJson = False,
    plot: Annotated[
        Path | None, typer.Option(help="Write a figure of the distributions to this file.")
    ] = None,
    skip_bad: SkipBad = False,
    quiet: Quiet = False,
) -> None:
    """Describe a data set: images, cells, sizes, overlaps, duplicates, doubtful annotations.

    Everything that cannot be read is listed; the exit code is then 1, or 0 with --skip-bad.
    """
    from bigkingxxl.data.quality import info_views
    from bigkingxxl.data.quality.info import describe

    found = describe(open_data(folder, skip_bad=True), tracker(quiet))
    if plot is not None:
        info_views.plot(found, plot)
    if as_json:
        print_json(found.as_json())
    else:
        typer.echo(info_views.as_text(found))
    if (found.skipped or found.unreadable) and not skip_bad:
        raise typer.Exit(1)


@app.command()
def split(
    folder: Folder = DATASET,
    out: Annotated[
        Path | None, typer.Option(help="File to write (default: DIR/folds.csv).")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, max=10_000, help="Number of folds.")] = 5,
    seed: Seed = 0,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Compare pixels, too, even if groups are known.")
    ] = False,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Split a data set into folds: balanced by cell type, images of one sample or field together.

    Groups come from sample or well columns, else from fields.csv, else from the pixels: images
    whose borders continue each other, and images of the same place at another time.
    """
    from bigkingxxl.data import split as splits
    from bigkingxxl.data.groups import find_groups
    from bigkingxxl.data.output_folder import writable_folder
    from bigkingxxl.data.quality.info_views import aligned

    dataset = open_data(folder, skip_bad)
    path = out or splits.folds_path(dataset)
    writable_folder(path.parent, "name another file with --out")
    groups = find_groups(dataset, pixels=pixels, track=tracker(quiet))
    found = splits.assign_folds(dataset, folds=folds, seed=seed, groups=groups)
    splits.write_folds(path, found.fold)
    if as_json:
        print_json({"file": path, "groups": found.groups, "grouped_by": found.grouped_by,
                    "seed": seed, "fold": found.fold})  # fmt: skip
        return
    typer.echo(f"{path}: {len(found.fold)} images in {found.groups} groups by {found.grouped_by}")
    header = ["images (cells)", *(f"fold {fold}" for fold in range(folds))]
    rows = [
        [kind, *(f"{images} ({cells})" for images, cells in counts)]
        for kind, counts in splits.fold_table(dataset, found.fold).items()
    ]
    typer.echo("\n".join(aligned([header, *rows])))


@app.command()
def synthesize(
    folder: Target = DATASET,
    images: Annotated[int, typer.Option(min=1, max=1_000_000, help="Number of images.")] = 16,
    seed: Seed = 0,
    cell_type: Annotated[
        list[str] | None,
        typer.Option(help="astro, cort, shsy5y (all three by default) or varied; repeatable."),
    ] = None,
    size: Annotated[str, typer.Option(help="Height x width in pixels.")] = "520x704",
    workers: Workers = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate phase-contrast images with true cells, in Kaggle's layout."""
    from bigkingxxl.data import synthesize as simulation
    from bigkingxxl.simulate import CELL_TYPES

    types = tuple(cell_type or CELL_TYPES)
    recipe = simulation.Recipe(images, seed, types, parsed_size(size))
    cells = simulation.synthesize(folder, recipe, workers=workers, track=tracker(quiet))
    if as_json:
        print_json({"folder": folder, "seed": seed, "cells": cells})
        return
    typer.echo(f"{folder}: {len(cells)} images with {sum(cells.values())} cells from seed {seed}")


def parsed_size(text: str) -> tuple[int, int]:
    """Parse '520x704' as (H, W)."""
    from bigkingxxl.errors import InputError

    height, _, width = text.lower().replace(" ", "").partition("x")
    sides = (height, width)
    if not all(side.isascii() and side.isdecimal() and len(side) < 10 for side in sides):
        raise InputError(
            f"--size is '{text}', expected height x width in pixels, such as 520x704",
            key="--size",
            found=text,
        )
    return int(height), int(width)
