"""OME-Zarr images with labels inside, `x.zarr/labels/<name>`; needs the extra `zarr`.

Source: the OME-Zarr specification, "labels".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.layouts.files import Found, dataset_of
from bigkingxxl.data.layouts.tree import stem_of
from bigkingxxl.io.annotations.registry import AnnotationFile
from bigkingxxl.io.images.registry import is_image_folder

LABELS = "labels"


def is_zarr_set(folder: Path) -> bool:
    """Return whether a path is an OME-Zarr with labels, or a folder that contains one."""
    return any(_label_groups(image) for image in _images(folder))


def open_zarr_set(folder: Path, *, skip_bad: bool = False) -> Dataset:
    """Open one OME-Zarr or a folder of them; several label images of one must agree.

    Images without labels are unlabelled.

    Raises:
        FormatError: No image has labels.
    """
    found = Found()
    for image in _images(folder):
        image_id = stem_of(image)
        found.images[image_id] = image
        groups = _label_groups(image)
        if groups:
            found.files[image_id] = [
                AnnotationFile(path, "labels", (image_id,), True) for path in groups
            ]
    return dataset_of(folder, found, skip_bad=skip_bad, layout="zarr")


def _images(folder: Path) -> Iterator[Path]:
    if is_image_folder(folder):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".zarr" and path.is_dir() and is_image_folder(path):
            yield path


def _label_groups(image: Path) -> list[Path]:
    place = image / LABELS
    if not place.is_dir():
        return []
    return [path for path in sorted(place.iterdir()) if path.is_dir() and is_image_folder(path)]
