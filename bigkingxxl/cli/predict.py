"""`bigkingxxl predict`: the cells of images, in the formats asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bigkingxxl.cli.answer import AsJson, print_json

if TYPE_CHECKING:
    from bigkingxxl.images import ImageSource
    from bigkingxxl.runs.folder import FolderResult

DEFAULT_FORMATS = ["labels", "overlay"]
DEFAULT_MODELS = ["bundled"]


def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders or patterns like 'a*.tif'.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[
        list[str],
        typer.Option(help="bundled, synthetic or a model file; repeat it for an ensemble."),
    ] = DEFAULT_MODELS,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="How much each --model counts, in their order (default: all alike)."),
    ] = None,
    formats: Annotated[
        list[str], typer.Option("--format", help="Any of the formats above; several as 'a,b'.")
    ] = DEFAULT_FORMATS,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    tile: Annotated[
        int | None, typer.Option(min=32, help="Side of a tile, network pixels.")
    ] = None,
    flips: Annotated[
        int | None, typer.Option(help="Mirror images averaged: 1, 2 or 4 (each as dear as one).")
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Network pixels an image pixel.")] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help="Micrometres a pixel; overrides what a file says.")
    ] = None,
    diameter: Annotated[
        float | None, typer.Option(help="The cells' diameter in these images, in pixels.")
    ] = None,
    cell_type: Annotated[str | None, typer.Option(help="The images' type, if known.")] = None,
    type_vote: Annotated[
        str | None, typer.Option(help="One type an 'image', or each 'cell' its own.")
    ] = None,
    frames: Annotated[str, typer.Option(help="'first' page of a TIFF, or 'all'.")] = "first",
    channel: Annotated[int | None, typer.Option(min=0, help="Channel to look at.")] = None,
    pixel_limit: Annotated[int, typer.Option(min=1, help="Largest image, in pixels.")] = 10**9,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Find the cells in images.

    Formats of each image: labels (a TIFF of cell numbers), overlay (outlines on the image),
    measurements (a row a cell: shape, intensity, place), imagej (a zip of ROIs), qupath (GeoJSON),
    cellpose (_seg.npy). Formats of the whole run: measurements (of all images, CSV and Parquet),
    summary (a row an image), contact_sheet (thumbnails of all images), submission (disjoint masks),
    coco (all candidates). A run that was broken off goes on where it stopped.

    How large cells are seen follows --scale, else --diameter, else the pixel size (--pixel-size or
    the file's) where the model knows that of its training; else it is estimated from the image.

    Several models are an ensemble. The maps of those that make the same ones are averaged and
    decoded as the first model's; these then count as one model. What different models see is
    matched cell by cell, and their masks, scores and types are averaged: a cell that one of two
    sees has half its score. Each model keeps its own scale, normalisation and decoding; the
    thresholds are the first model's. Models of one cell type each are joined by type: the image's
    type is voted by the cells that each would find alone (by the models that know all types, where
    there are any), only that type's models count, and the thresholds of a type are those of its
    first model.
    """
    from bigkingxxl.cli.progress import track
    from bigkingxxl.inference.familiarity import warnings_for
    from bigkingxxl.inference.load_ensemble import load_ensemble
    from bigkingxxl.inference.sizing import GivenSize
    from bigkingxxl.io.images.image_files import find_images, open_frames, open_image
    from bigkingxxl.models import model_hash, read_card, resolve_model
    from bigkingxxl.provenance import fingerprint
    from bigkingxxl.runs.folder import Selection, check_request, predict_folder

    check_options(frames, flips, type_vote)
    size_um = None if pixel_size is None else (pixel_size, pixel_size)
    given = GivenSize(scale, diameter, size_um)

    def open_images(path: Path) -> Sequence[ImageSource]:
        if frames == "all":
            sources = open_frames(path, channel=channel, pixel_limit=pixel_limit)
        else:
            sources = [open_image(path, channel=channel, pixel_limit=pixel_limit)]
        return [given.told(source) for source in sources]

    paths = find_images(images)
    chosen = [name.strip() for text in formats for name in text.split(",") if name.strip()]
    check_request(paths, chosen)
    models = [resolve_model(each) for each in model]
    changes = {
        name: value for name, value in (("tile", tile), ("flips", flips)) if value is not None
    }
    given.check([read_card(path) for path in models], "--")
    predictor, card = load_ensemble(
        models, device, weights=weight, changes=changes, scale=given.scale, cell_type=cell_type,
        type_vote=type_vote,
    )  # fmt: skip
    selection = Selection(card.operating_points, cell_type)
    options = repr((changes, given, cell_type, frames, channel, selection, weight))
    hashes = [model_hash(path) for path in models]
    key = fingerprint([*hashes, options])
    result = predict_folder(
        predictor, paths, open_images, out, chosen, selection, key, "+".join(hashes),
        partial(warnings_for, card, scale_given=scale is not None),
        track=partial(track, quiet=quiet),
    )  # fmt: skip
    if as_json:
        print_json({"folder": out, "cells": result.cells, "done_before": result.skipped,
                    "unreadable": result.unreadable})  # fmt: skip
    else:
        typer.echo(f"{out}: {counted(result)}")
    for sentence in result.unreadable:
        typer.echo(f"bigkingxxl: {sentence}", err=True)
    if result.unreadable:
        raise typer.Exit(2)


def counted(result: FolderResult) -> str:
    """What a run found, in a line."""
    done = f", {result.skipped} of them done before" if result.skipped else ""
    images = "1 image" if len(result.cells) == 1 else f"{len(result.cells)} images"
    return f"{sum(result.cells.values())} cells in {images}{done}"


def check_options(frames: str, flips: int | None, type_vote: str | None) -> None:
    """Refuse values that an option does not know."""
    from bigkingxxl.errors import InputError

    if frames not in ("first", "all"):
        raise InputError(f"--frames is '{frames}', expected 'first' or 'all'")
    if flips not in (None, 1, 2, 4):
        raise InputError(f"--flips is {flips}, expected 1, 2 or 4")
    if type_vote not in (None, "image", "cell"):
        raise InputError(f"--type-vote is '{type_vote}', expected 'image' or 'cell'")
