"""A folder per image, as in the Data Science Bowl 2018: `ID/images/ID.png`, `ID/masks/*.png`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.layouts.annotated_files import MASKS
from bigkingxxl.data.layouts.files import Found, dataset_of
from bigkingxxl.data.layouts.tree import files_in, is_image_name
from bigkingxxl.errors import FormatError
from bigkingxxl.io.annotations.ignore_masks import ignore_mask_kind
from bigkingxxl.io.annotations.mask_folders import mask_files
from bigkingxxl.io.annotations.registry import AnnotationFile

IMAGES, CELLS = "images", "masks"


def is_masks(folder: Path) -> bool:
    """Return whether subfolders contain `images/` and `masks/`."""
    return next(_units(folder), None) is not None


def open_masks(folder: Path, *, skip_bad: bool = False) -> Dataset:
    """Open a folder of such folders, whose names are the ids of the images.

    Images with an empty or missing `masks/` are unlabelled.

    Raises:
        FormatError: A folder has several images, or none has masks.
    """
    found = Found()
    for unit in _units(folder):
        images = [path for path in files_in(unit / IMAGES)
                  if is_image_name(path) and ignore_mask_kind(path) is None]  # fmt: skip
        for path in images[:1]:
            found.images[unit.name] = path
        found.doubles += [(images[0], path) for path in images[1:]]
        masks = unit / CELLS
        if images and mask_files(masks):
            found.files[unit.name] = [AnnotationFile(masks, MASKS, (unit.name,), True)]
    if not found.images:
        raise FormatError(f"{folder} contains no image in ID/{IMAGES}/", file=folder)
    return dataset_of(folder, found, skip_bad=skip_bad, layout="masks")


def _units(folder: Path) -> Iterator[Path]:
    for unit in sorted(folder.iterdir()):
        if (unit / IMAGES).is_dir() and (unit / CELLS).is_dir() and not unit.is_symlink():
            # `images/` beside `masks/` with the same names is another layout.
            names = {path.stem for path in files_in(unit / IMAGES)}
            if not any(path.stem in names for path in mask_files(unit / CELLS)):
                yield unit
