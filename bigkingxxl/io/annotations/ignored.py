"""Which pixels of an image nobody has annotated: neither learnt nor scored.

Two conventions, beside the image or in folders of these names beside `images/`:

    x_ignore.png (.tif)       white, or any value but 0, where nothing was annotated
    x_reviewed.geojson        the regions that were annotated, all else was not (also an ImageJ
                              .zip or .roi, a labelme .json, a .png or .tif that is white there)

In QuPath's GeoJSON of the cells themselves, areas of the class `Ignore*` are ignored, and where
there are areas of the class `Region*`, so is all that lies outside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError
from bigkingxxl.io.annotations.label_images import check_same_size, one_channel
from bigkingxxl.io.annotations.qupath import read_areas, read_regions
from bigkingxxl.io.annotations.registry import LABEL_SUFFIXES, annotation_file
from bigkingxxl.io.images.image_files import read_header, read_values

Size = tuple[int, int]
IGNORE, REVIEWED = "ignore", "reviewed"
ENDINGS = {f"_{kind}": kind for kind in (IGNORE, REVIEWED)}


def mark_kind(path: Path) -> tuple[str, str] | None:
    """The name of the image and 'ignore' or 'reviewed', for a file beside an image; None else."""
    for ending, kind in ENDINGS.items():
        if path.stem.endswith(ending) and path.stem != ending and _is_readable(path, kind):
            return path.stem.removesuffix(ending), kind
    return None


def _is_readable(path: Path, kind: str) -> bool:
    return path.suffix.lower() in LABEL_SUFFIXES or (
        kind == REVIEWED and path.suffix.lower() in (".geojson", ".zip", ".roi", ".json")
    )


def read_mark(path: Path, kind: str, size: Size) -> NDArray[np.bool_]:
    """bool[H, W]: the pixels that one file says were not annotated.

    Raises:
        FormatError: it is of another size than the image, or cannot be understood.
        ImageError: it cannot be read.
    """
    if path.suffix.lower() in LABEL_SUFFIXES:
        check_same_size(path, size, read_header(path).shape)
        marked = one_channel(path, read_values(path)) != 0
    else:
        file = annotation_file(path)
        if file is None:
            raise FormatError(f"{path} holds no areas, expected GeoJSON or ImageJ ROIs", file=path)
        areas = read_areas(path, size) if file.format == "qupath" else file.read(size)
        marked = areas.label_map() > 0
    ignored: NDArray[np.bool_] = marked if kind == IGNORE else ~marked
    return ignored


def joined(masks: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_] | None:
    """What any of several masks ignores; None where there is none."""
    found = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(found) if found else None


def read_geojson_mark(path: Path, size: Size) -> NDArray[np.bool_] | None:
    """bool[H, W]: what QuPath's classes `Ignore*` and `Region*` say; None where there are none."""
    ignored, regions = read_regions(path, size)
    masks = [None if ignored is None else ignored.label_map() > 0,
             None if regions is None else regions.label_map() == 0]  # fmt: skip
    return joined(masks)
