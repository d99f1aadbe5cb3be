"""The label images of a run, put inside the OME-Zarr images that they belong to."""

from __future__ import annotations

from pathlib import Path

from bigkingxxl.errors import BigKingXXLError, InputError
from bigkingxxl.io.annotations.zarr_inside import FORMATS, put_inside, zarr_format
from bigkingxxl.runs.reader import open_run
from bigkingxxl.runs.store import RunStore


def attach_labels(
    run: Path, name: str = "cells", *, overwrite: bool = False
) -> tuple[dict[str, Path], dict[str, str]]:
    """Put the Zarr labels of each image of a run inside its source.

    Args:
        run: The folder of the run.
        name: The name of the labels in each image.
        overwrite: Replace labels of that name that another program wrote.

    Returns:
        The folder of the labels by image id, and a sentence for each image that failed.

    Raises:
        InputError: The folder holds no run, or a run without images.
    """
    images, store = open_run(run), RunStore(run)
    if not len(images):
        raise InputError(f"{run} has no image that is done", file=run)
    done: dict[str, Path] = {}
    failed: dict[str, str] = {}
    for image_id, image in images.items():
        try:
            if image.failure:
                raise InputError(image.failure)
            if image.frame is not None:
                raise InputError(f"{image.path} contains several images: labels of one cannot be "
                                 "put inside", file=image.path)  # fmt: skip
            done[image_id] = put_inside(
                _labels_of(store, image_id, image.path), image.path, name, overwrite=overwrite
            )
        except BigKingXXLError as error:
            failed[image_id] = str(error)
    return done, failed


def _labels_of(store: RunStore, image_id: str, image: Path) -> Path:
    """Return the Zarr labels of an image, those of the image's own version if there are any."""
    version = zarr_format(image)
    if version is None:
        raise InputError(f"{image} is not an OME-Zarr image, so labels cannot be put inside",
                         file=image)  # fmt: skip
    wanted = FORMATS[version]
    place = store.place(wanted, image_id)
    if not place.is_dir():
        raise InputError(
            f"{place} does not exist: predict with --format {wanted}", file=place, expected=wanted
        )
    return place
