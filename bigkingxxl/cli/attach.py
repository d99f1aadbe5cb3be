"""`bigkingxxl attach`: the label images of a run, put inside the OME-Zarr images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.json_output import AsJson


def attach(
    run: Annotated[Path, typer.Argument(help="Folder that `bigkingxxl predict --out` wrote.")],
    name: Annotated[str, typer.Option(help="Name of the labels in each image.")] = "cells",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace labels of that name from other programs, too."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put the label images of a run inside the OME-Zarr images that they belong to.

    Viewers such as napari and Vizarr then show the cells on top of the image. The run must have
    been predicted with `--format zarr` (or `zarr-0.5` for images in Zarr 3). The labels are copied
    to IMAGE.zarr/labels/NAME, and nothing else in the image changes. Run the command again after a
    new prediction. Images for which it is not possible are listed (exit code 1).
    """
    from bigkingxxl.cli.json_output import print_json
    from bigkingxxl.runs.attach import attach_labels

    done, failed = attach_labels(run, name, overwrite=overwrite)
    if as_json:
        print_json({"labels": {image: str(place) for image, place in done.items()},
                    "failed": failed})  # fmt: skip
    else:
        for place in done.values():
            typer.echo(place)
    for image, reason in failed.items():
        typer.echo(f"{image}: {reason}", err=True)
    if failed:
        raise typer.Exit(1)
