"""`bigkingxxl predict`: the cells of images, in the formats asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bigkingxxl.cli.answer import AsJson
from bigkingxxl.texts import printable

DEFAULT_FORMATS = ["labels", "overlay"]
DEFAULT_MODELS = ["bundled"]


def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders or patterns like 'a*.tif'.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[
        list[str],
        typer.Option(help="bundled, sartorius, open or a model file; repeat it for an ensemble."),
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
        int | None,
        typer.Option(
            min=32,
            help="Longest side in network pixels that is seen at once: less memory, same cells.",
        ),
    ] = None,
    tta: Annotated[
        str | None,
        typer.Option(
            help="Average over views: mirror (2), flips (4), turns (4), scales (3), several as "
            "'a,b', or none (default: as the model says)."
        ),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Network pixels per image pixel.")] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help="Micrometres per pixel; overrides what the file says.")
    ] = None,
    diameter: Annotated[
        float | None, typer.Option(help="The cells' diameter in these images, in pixels.")
    ] = None,
    cell_type: Annotated[str | None, typer.Option(help="The images' type, if known.")] = None,
    type_vote: Annotated[
        str | None, typer.Option(help="One type an 'image', or each 'cell' its own.")
    ] = None,
    channel: Annotated[
        int | None, typer.Option(min=0, help="Channel to look at, counted from 0.")
    ] = None,
    frames: Annotated[
        str | None, typer.Option(help="Of a time-lapse: one, or a range like 0:10 (default: all).")
    ] = None,
    z: Annotated[
        str | None, typer.Option("--z", help="Of a z-stack: max, mid, all, one or a range.")
    ] = None,
    position: Annotated[
        int | None, typer.Option(min=0, help="Of several in a file: this one (default: all).")
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Search folders in folders.")
    ] = True,
    pixel_limit: Annotated[
        int | None,
        typer.Option(min=1, help="Largest image, in pixels (default: any that is read by window)."),
    ] = None,
    as_json: AsJson = False,
    min_score: Annotated[
        float | None, typer.Option(help="Least score of a cell, in place of the model's own.")
    ] = None,
    min_area: Annotated[
        float | None, typer.Option(help="Least area of a cell, in pixels of the image.")
    ] = None,
    exclude_border: Annotated[
        bool, typer.Option("--exclude-border", help="Leave out cells that touch the border.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that were changed by hand too.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that share the work (0: one per core).")
    ] = 1,
    shard: Annotated[
        str | None, typer.Option(help="Do only part 3 of 16: '3/16'; `tables` follows the last.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler; 'local:4' starts one.")
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="End in time, with exit code 75: '90' minutes, '1:30:00'.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress bar, no advice on the images.")
    ] = False,
) -> None:
    """Find the cells in images.

    Formats of each image: labels (a TIFF of cell numbers), zarr (the same as OME-Zarr 0.4; zarr-0.5
    as 0.5), overlay (outlines on the image), measurements (one row per cell: shape, intensity,
    place), imagej (a zip of ROIs), qupath (GeoJSON), cellpose (_seg.npy). Formats of the whole run:
    measurements (of all images, CSV and Parquet), summary (one row per image), contact_sheet
    (thumbnails of all images), submission (Kaggle's CSV of disjoint masks), coco (results.json: all
    candidates). 'all' is every one but zarr.

    Images above 4096 x 4096 pixels go block by block, and go on at the block where a run was broken
    off.

    A run that was broken off goes on where it stopped, and several processes may work in one
    folder. Formats that the folder has from an earlier run are brought up to date. Results that a
    person changed are kept, and the other formats follow corrected cells; images that were
    corrected keep the model that made them, whichever --model is given.

    However many processes (--workers), jobs (--shard) or machines (--scheduler) do a run, its
    results are the same. Exit code 75 says that it ended before it was done, for --time-limit or a
    signal (SIGTERM, SIGUSR1): the same command goes on.

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
    from bigkingxxl.cli.progress import resumable, track
    from bigkingxxl.cli.run_report import advice_on, show
    from bigkingxxl.cluster.job import Job, Loading
    from bigkingxxl.cluster.run import Sharing, predict_job
    from bigkingxxl.inference.ensemble_file import is_ensemble, members_of
    from bigkingxxl.inference.load_ensemble import ensemble_card
    from bigkingxxl.inference.size.sizing import ScaleHint
    from bigkingxxl.models import read_card
    from bigkingxxl.provenance import fingerprint
    from bigkingxxl.runs.deadline import Deadline, seconds_of
    from bigkingxxl.runs.folder import run_settings
    from bigkingxxl.runs.outputs import chosen_formats
    from bigkingxxl.runs.reading import Reading
    from bigkingxxl.runs.selection import Selection
    from bigkingxxl.runs.shards import WHOLE, Shard
    from bigkingxxl.test_time_augmentation import asked_augmentations

    deadline = Deadline(None if time_limit is None else seconds_of(time_limit))
    sharing = Sharing(workers, scheduler, WHOLE if shard is None else Shard.of(shard), deadline)
    sharing.check()
    changes = {} if tta is None else {"tta": asked_augmentations(tta, "--tta")}
    check_options(type_vote)
    size_um = None if pixel_size is None else (pixel_size, pixel_size)
    given = ScaleHint(scale, diameter, size_um)
    reading = Reading(channel, frames, z, position, size_um, diameter, pixel_limit)
    reading.check()
    with deadline.listening(), resumable():
        names = found_images(images, recursive=recursive, quiet=quiet)
        chosen = chosen_formats(split_names(formats))
        found = members_of(model, weight)
        changes = changes or found.changes
        if any(map(is_ensemble, model)):
            model, weight = list(map(str, found.files)), list(found.weights)
        given.check([read_card(path) for path in found.files], "--")
        card = ensemble_card(
            found.files, weights=found.weights, cell_type=cell_type, type_vote=type_vote,
            points=found.points,
        )  # fmt: skip
        selection = Selection(card.operating_points, cell_type, min_score, min_area, exclude_border)
        selection.check("--")
        loading = Loading.of(
            model, device=device, weights=None if weight is None else tuple(weight),
            changes=changes, scale=given.scale, cell_type=cell_type, type_vote=type_vote, tile=tile,
            points=found.points,
        )  # fmt: skip
        # The pixel limit and the frames refuse images, but change nothing in those that are done.
        options = repr((changes, given, cell_type, channel, z, type_vote, weight))
        settings = run_settings(
            fingerprint([*loading.hashes, options]), selection, chosen,
            model="+".join(loading.hashes), reading=reading.as_json(), models=model,
        )  # fmt: skip
        job = Job(out, settings, selection, reading, loading, overwrite)
        result = predict_job(job, names, sharing, partial(track, quiet=quiet))
    size_given = scale is not None or diameter is not None
    advice = advice_on(result, card, size_given, "summary" in chosen)
    show(out, result, advice, quiet=quiet, as_json=as_json, is_new=True)


def split_names(texts: Sequence[str]) -> list[str]:
    """Names given several at once, 'a,b', or one after the other."""
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def found_images(places: Sequence[str], *, recursive: bool, quiet: bool) -> dict[Path, str]:
    """The image files in some places and their names in results; says what is left out."""
    from bigkingxxl.io.images import find_images

    found = find_images(places, recursive)
    if (left_out := found.sentence()) is not None and not quiet:
        typer.echo(f"bigkingxxl: {printable(left_out)}", err=True)
    return {file.path: file.name for file in found.files}


def check_options(type_vote: str | None) -> None:
    """Refuse values that an option does not know."""
    from bigkingxxl.errors import InputError

    if type_vote not in (None, "image", "cell"):
        raise InputError(f"--type-vote is '{type_vote}', expected 'image' or 'cell'")
