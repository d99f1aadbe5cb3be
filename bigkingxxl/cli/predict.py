"""`bigkingxxl predict`: the cells of images, in the formats asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bigkingxxl.cli.json_output import AsJson
from bigkingxxl.display_text import printable

if TYPE_CHECKING:
    from bigkingxxl.cluster.job import Job

DEFAULT_FORMATS = ["labels", "overlay"]
DEFAULT_MODELS = ["bundled"]


def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders or patterns like 'a*.tif'.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[
        list[str],
        typer.Option(
            help="bundled, sartorius, open or a model file; repeat the option for an ensemble."
        ),
    ] = DEFAULT_MODELS,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="Weight of each --model, in order (default: equal)."),
    ] = None,
    formats: Annotated[
        list[str], typer.Option("--format", help="Formats to write (see above), several as 'a,b'.")
    ] = DEFAULT_FORMATS,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    tile: Annotated[
        int | None,
        typer.Option(
            min=32,
            help="Longest side in network pixels per tile: less memory, the same cells up to "
            "rounding.",
        ),
    ] = None,
    tta: Annotated[
        str | None,
        typer.Option(
            help="Test-time augmentation: mirror (2 views), flips (4), turns (4), scales (3), "
            "several as 'a,b', or none (default: the model's own)."
        ),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Network pixels per image pixel.")] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help="Micrometres per pixel; replaces the value in the file.")
    ] = None,
    diameter: Annotated[
        float | None, typer.Option(help="Diameter of a typical cell in these images, in pixels.")
    ] = None,
    cell_type: Annotated[
        str | None, typer.Option(help="Cell type of all images, if you know it.")
    ] = None,
    type_vote: Annotated[
        str | None,
        typer.Option(help="'image': one cell type per image; 'cell': each cell its own."),
    ] = None,
    channel: Annotated[
        int | None, typer.Option(min=0, help="Channel to use, counted from 0.")
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(help="Frames of a time-lapse: one, or a range like 0:10 (default: all)."),
    ] = None,
    z: Annotated[
        str | None, typer.Option("--z", help="Planes of a z-stack: max, mid, all, one or a range.")
    ] = None,
    position: Annotated[
        int | None,
        typer.Option(min=0, help="Position to use if a file has several (default: all)."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Search sub-folders, too.")
    ] = True,
    pixel_limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Refuse images with more pixels (default: no limit for formats read in parts).",
        ),
    ] = None,
    as_json: AsJson = False,
    min_score: Annotated[
        float | None, typer.Option(help="Minimum score of a cell; replaces the model's.")
    ] = None,
    min_area: Annotated[
        float | None, typer.Option(help="Minimum area of a cell, in pixels of the image.")
    ] = None,
    exclude_border: Annotated[
        bool,
        typer.Option("--exclude-border", help="Leave out cells that touch the edge of the image."),
    ] = False,
    keep_blurred: Annotated[
        bool,
        typer.Option("--keep-blurred", help="Count cells in images that are out of focus, too."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that were changed by hand, too.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that share the work (0: one per core). [default: one, or several for "
            "many images]",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Do one part of the run, such as '3/16'; run `tables` after the last."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler; 'local:4' starts one.")
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(help="Stop after this time with exit code 75: '90' (minutes) or '1:30:00'."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Show no progress bar and no advice on the images.")
    ] = False,
) -> None:
    """Find the cells in images.

    Formats for each image: labels (a TIFF of cell numbers), zarr (the same as OME-Zarr 0.4;
    zarr-0.5 writes 0.5), overlay (the image with outlines), measurements (one row per cell: shape,
    intensity, position), imagej (a zip of ROIs), qupath (GeoJSON), cellpose (_seg.npy). Formats for
    the whole run: measurements (all images, as CSV and Parquet), summary (one row per image),
    contact_sheet (thumbnails of all images), submission (Kaggle's CSV of disjoint masks), coco
    (results.json with all candidates). 'all' writes every format except zarr.

    Images above 4096 x 4096 pixels are processed block by block. An interrupted run continues at
    the block where it stopped.

    The same command continues an interrupted run, and several processes may work in one folder.
    Formats that the folder already has are updated. Results that a person changed are kept, and the
    other formats follow the corrected cells. Corrected images keep the results of the model that
    made them, even if --model names another.

    The results do not depend on how many processes (--workers), jobs (--shard) or machines
    (--scheduler) share a run. Exit code 75 means that the run stopped early because of --time-limit
    or a signal (SIGTERM, SIGUSR1); the same command continues it.

    The size of the cells in an image is taken from --scale, else from --diameter, else from the
    pixel size (--pixel-size or the file's) if the model knows the pixel size of its training
    images. Otherwise it is estimated from the image.

    Several models form an ensemble. Models that make the same maps are averaged and decoded with
    the parameters of the first; they then count as one model. The results of different models are
    matched cell by cell, and their masks, scores and types are averaged: a cell that only one of
    two models finds gets half its score. Each model keeps its own scale, normalisation and
    decoding; the thresholds are those of the first model. Models for one cell type each are
    combined by type: the cells that each model finds vote for the type of the image (only models
    that know all types vote, if there are any), and only the models of that type are used, with the
    thresholds of the first of them.
    """
    from bigkingxxl.cli.progress import resumable, track
    from bigkingxxl.cli.run_report import advice_on, show
    from bigkingxxl.cluster.job import Job, Loading
    from bigkingxxl.cluster.run import Sharing, predict_job
    from bigkingxxl.inference.ensemble_file import named_members
    from bigkingxxl.inference.load_ensemble import card_of
    from bigkingxxl.inference.size.scale_ratio import ScaleHint
    from bigkingxxl.model_files import read_card
    from bigkingxxl.provenance import fingerprint
    from bigkingxxl.runs.deadline import Deadline, seconds_of
    from bigkingxxl.runs.folder import run_settings
    from bigkingxxl.runs.open_options import OpenOptions
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
    reading = OpenOptions(channel, frames, z, position, size_um, diameter, pixel_limit)
    reading.check()
    with deadline.listening(), resumable():
        names = found_images(images, recursive=recursive, quiet=quiet)
        chosen = writable_formats(formats)
        model, weight, found = named_members(model, weight)
        changes = changes or found.changes
        given.check([read_card(path) for path in found.files], "--")
        card = card_of(found, cell_type=cell_type, type_vote=type_vote)
        wanted = (cell_type, min_score, min_area, exclude_border, keep_blurred)
        selection = Selection(card.operating_points, *wanted)
        selection.check("--")
        loading = Loading.of(
            model, device=device, weights=weight and tuple(weight), changes=changes, tile=tile,
            scale=given.scale, cell_type=cell_type, type_vote=type_vote, points=found.points,
        )  # fmt: skip
        # The pixel limit and the frames exclude images, but do not change the results of others.
        options = repr((changes, given, cell_type, channel, z, type_vote, weight))
        settings = run_settings(
            fingerprint([*loading.hashes, options]), selection, chosen,
            model="+".join(loading.hashes), reading=reading.as_json(), models=model,
        )  # fmt: skip
        job = Job(out, settings, selection, reading, loading, overwrite)
        tell_of_replaced(job)
        result = predict_job(job, names, sharing, partial(track, quiet=quiet))
    advice = advice_on(result, card, (scale or diameter) is not None, "summary" in chosen)
    show(out, result, advice, quiet=quiet, as_json=as_json, is_new=True)


def split_names(texts: Sequence[str]) -> list[str]:
    """Split names given at once, 'a,b', or one after the other."""
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def found_images(places: Sequence[str], *, recursive: bool, quiet: bool) -> dict[Path, str]:
    """Find the images in some places with their names in results; report what is left out."""
    from bigkingxxl.io.images import find_images

    found = find_images(places, recursive)
    if (left_out := found.sentence()) is not None and not quiet:
        typer.echo(f"bigkingxxl: {printable(left_out)}", err=True)
    return {file.path: file.name for file in found.files}


def writable_formats(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the formats asked for; those whose library is not installed are refused."""
    from bigkingxxl.io.annotations.zarr_labels import require_zarr
    from bigkingxxl.runs.outputs import OF_AN_EXTRA, chosen_formats

    chosen = chosen_formats(split_names(texts))
    if any(name in OF_AN_EXTRA for name in chosen):
        require_zarr()
    return chosen


def tell_of_replaced(job: Job) -> None:
    """Say that a run replaces the results of an earlier one, whose settings differed."""
    from bigkingxxl.runs.store import RunStore

    earlier = RunStore(job.out).settings()
    if earlier is not None and earlier.run != job.settings.run:
        sentence = (
            f"an earlier run in {job.out} used another model or other settings, such as "
            "--diameter; its results are replaced"
        )
        typer.echo(f"bigkingxxl: {printable(sentence)}", err=True)


def check_options(type_vote: str | None) -> None:
    """Refuse unknown values of options."""
    from bigkingxxl.errors import InputError

    if type_vote not in (None, "image", "cell"):
        raise InputError(
            f"--type-vote is '{type_vote}', expected 'image' or 'cell'",
            key="--type-vote",
            found=type_vote,
            expected=("image", "cell"),
        )
