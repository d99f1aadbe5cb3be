"""`bigkingxxl predict`: the cells of images, in the formats asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bigkingxxl.images import ImageSource
    from bigkingxxl.inference.predictor import Predictor
    from bigkingxxl.inference.sizing import GivenSize
    from bigkingxxl.models import ModelCard
    from bigkingxxl.operating_points import OperatingPoints

DEFAULT_FORMATS = ["labels", "overlay"]
DEFAULT_MODELS = ["bundled"]


def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders or patterns like 'a*.tif'.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[
        list[str],
        typer.Option(help="bundled, synthetic or a model file; several are joined."),
    ] = DEFAULT_MODELS,
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
    """
    from bigkingxxl.cli.progress import track
    from bigkingxxl.errors import InputError
    from bigkingxxl.formats.image_files import find_images, open_frames, open_image
    from bigkingxxl.inference.familiarity import warnings_for
    from bigkingxxl.inference.folder import Selection, check_request, predict_folder
    from bigkingxxl.inference.sizing import GivenSize
    from bigkingxxl.models import model_hash, resolve_model
    from bigkingxxl.runs import fingerprint

    if frames not in ("first", "all"):
        raise InputError(f"--frames is '{frames}', expected 'first' or 'all'")
    if flips not in (None, 1, 2, 4):
        raise InputError(f"--flips is {flips}, expected 1, 2 or 4")
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
    predictor, card = load_models(models, device, changes, given, cell_type)
    selection = Selection(with_vote(card.operating_points, type_vote), cell_type)
    options = repr((changes, given, cell_type, frames, channel, selection))
    hashes = [model_hash(path) for path in models]
    key = fingerprint([*hashes, options])
    result = predict_folder(
        predictor, paths, open_images, out, chosen, selection, key, "+".join(hashes),
        partial(warnings_for, card), track=partial(track, quiet=quiet),
    )  # fmt: skip
    done = f", {result.skipped} of them done before" if result.skipped else ""
    images_done = "1 image" if len(result.cells) == 1 else f"{len(result.cells)} images"
    typer.echo(f"{out}: {sum(result.cells.values())} cells in {images_done}{done}")
    for sentence in result.unreadable:
        typer.echo(f"bigkingxxl: {sentence}", err=True)
    if result.unreadable:
        raise typer.Exit(2)


def load_models(
    paths: Sequence[Path],
    device: str,
    changes: Mapping[str, int],
    given: GivenSize,
    cell_type: str | None,
) -> tuple[Predictor, ModelCard]:
    """One predictor of all models, and the first one's card, which decides the selection.

    Args:
        changes: of the models' own prediction settings.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.inference.ensemble import Ensemble
    from bigkingxxl.inference.load import load_predictor
    from bigkingxxl.licences import tell_licence
    from bigkingxxl.models import read_card
    from bigkingxxl.settings import nearest

    predictors: list[Predictor] = []
    cards = [read_card(path) for path in paths]
    given.check(cards, "--")
    for path, card in zip(paths, cards, strict=True):
        if cell_type is not None and cell_type not in card.type_names:
            hint = nearest(cell_type, card.type_names)
            raise InputError(f"{path} knows no cell type '{cell_type}'{hint}")
        settings = card.prediction.changed(**changes)
        predictor, _ = load_predictor(
            path, device, settings=settings, scale=given.scale, cell_type=cell_type
        )
        predictors.append(predictor)
        tell_licence(card.licence)
    return (predictors[0] if len(predictors) == 1 else Ensemble(predictors)), cards[0]


def with_vote(points: OperatingPoints, type_vote: str | None) -> OperatingPoints:
    """The operating points with another way of voting on the cell type; None keeps theirs."""
    from bigkingxxl.errors import InputError

    if type_vote is None:
        return points
    if type_vote not in ("image", "cell"):
        raise InputError(f"--type-vote is '{type_vote}', expected 'image' or 'cell'")
    return points.changed(type_vote=type_vote)
