"""Pixels of an image that are not annotated, which are used neither for training nor for scores.

There are two conventions, for files beside the image or in folders with these names beside
`images/`:

    x_ignore.png (.tif)       white, or any value but 0, where nothing was annotated
    x_reviewed.geojson        the regions that were annotated, and nothing else (also an ImageJ
                              .zip or .roi, a labelme .json, a .png or .tif that is white there)

In QuPath's GeoJSON of cells, areas of the class `Ignore*` are ignored, and if there are areas of
the class `Region*`, everything outside of them is ignored as well.
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


def ignore_mask_kind(path: Path) -> tuple[str, str] | None:
    """Return the name of the image and 'ignore' or 'reviewed' for a mark; None for other files."""
    for ending, kind in ENDINGS.items():
        if path.stem.endswith(ending) and path.stem != ending and _is_readable(path, kind):
            return path.stem.removesuffix(ending), kind
    return None


def _is_readable(path: Path, kind: str) -> bool:
    return path.suffix.lower() in LABEL_SUFFIXES or (
        kind == REVIEWED and path.suffix.lower() in (".geojson", ".zip", ".roi", ".json")
    )


def read_ignore_mask(path: Path, kind: str, size: Size) -> NDArray[np.bool_]:
    """Read the pixels that a file marks as not annotated, bool[H, W].

    Raises:
        FormatError: Its size differs from that of the image, or it cannot be interpreted.
        ImageError: It cannot be read.
    """
    if path.suffix.lower() in LABEL_SUFFIXES:
        check_same_size(path, size, read_header(path).shape)
        values = one_channel(path, read_values(path))
        if not np.isfinite(values).all():
            raise FormatError(
                f"{path} contains values that are not numbers, expected 0 or any other number at "
                "each pixel",
                file=path,
                found="NaN",
                expected=0,
            )
        marked = values != 0
    else:
        file = annotation_file(path)
        if file is None:
            raise FormatError(
                f"{path} contains no areas, expected GeoJSON or ImageJ ROIs", file=path
            )
        areas = read_areas(path, size) if file.format == "qupath" else file.read(size)
        marked = areas.label_map() > 0
    ignored: NDArray[np.bool_] = marked if kind == IGNORE else ~marked
    return ignored


def joined(masks: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_] | None:
    """Combine masks: a pixel is ignored if any mask ignores it; None without masks."""
    found = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(found) if found else None


def read_geojson_ignore_mask(path: Path, size: Size) -> NDArray[np.bool_] | None:
    """Read QuPath's classes `Ignore*` and `Region*`, bool[H, W]; None if there are none."""
    ignored, regions = read_regions(path, size)
    masks = [None if ignored is None else ignored.label_map() > 0,
             None if regions is None else regions.label_map() == 0]  # fmt: skip
    return joined(masks)
