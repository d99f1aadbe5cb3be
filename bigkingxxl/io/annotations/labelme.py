"""Read and write labelme's JSON files, one per image.

Their shapes are polygons, rectangles, circles and masks; shapes with the same label and group
number are the parts of one cell. An image stored in the file (`imageData`) is ignored.

Source: labelme's `label_file.py` and its documentation.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError
from bigkingxxl.files import write_json
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.coco_segments import read_json
from bigkingxxl.io.annotations.outline_cells import NoAreaError
from bigkingxxl.io.annotations.outlines import filled, outlines

VERSION = "5.4.1"  # the first version of labelme with the shapes written here
CIRCLE_POINTS = 720
SHAPE_FIELDS: dict[str, Any] = {"description": "", "flags": {}, "mask": None}


def write_labelme(path: Path, instances: Instances, image_path: Path | None = None) -> None:
    """Write a polygon for each part of each non-empty cell.

    Holes and scores are lost, because labelme cannot store them.

    Args:
        path: The file.
        instances: The cells.
        image_path: The image, which labelme searches beside the file.

    Raises:
        OutputError: The file cannot be written.
    """
    shapes = [
        {
            "label": instances.type_names[int(instances.cell_type[index])] or UNTYPED,
            "points": rings[0].astype(float).tolist(),
            "group_id": index + 1,
            "shape_type": "polygon",
            **SHAPE_FIELDS,
        }
        for index, polygons in enumerate(outlines(instances))
        for rings in polygons
    ]
    height, width = instances.size
    content: dict[str, Any] = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": "" if image_path is None else image_path.name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    write_json(path, content)


def read_labelme(
    path: Path, size: tuple[int, int], *, type_names: Sequence[str] | None = None
) -> Instances:
    """Read the cells of a labelme file; the type of a cell is its label.

    Args:
        path: The file.
        size: (H, W) of the image; the rest is clipped.
        type_names: The expected types; others in the file are appended.

    Raises:
        InputError: The file does not exist.
        FormatError: It is not a labelme file, its image has another size, or a shape is not an
            area.
    """
    content = read_json(Path(path))
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(each, dict) for each in shapes):
        raise FormatError(
            f"{path} has no list of shapes, expected a file of labelme", file=path, key="shapes"
        )
    said = content.get("imageHeight"), content.get("imageWidth")
    if None not in said and said != size:
        raise FormatError(
            f"{path}: the image has {size[1]} x {size[0]} pixels, but its annotation is for "
            f"{said[1]} x {said[0]} (width x height)",
            file=path,
            key="size",
            found=tuple(said),
            expected=tuple(size),
        )
    cells: dict[Any, int] = {}
    rings, owners = [], []
    for place, shape in enumerate(shapes):
        label, group = str(shape.get("label") or UNTYPED), shape.get("group_id")
        key = (label, place, None) if group is None else (label, -1, str(group))
        owners.append(cells.setdefault(key, len(cells)))
        try:
            rings.append(_rings(shape, size))
        except (LookupError, TypeError, ValueError, OverflowError, OSError) as error:
            what = error if isinstance(error, NoAreaError) else "malformed"
            raise FormatError(
                f"{path}: shape {place} is {what}, expected an area",
                file=path,
                key=f"shape {place}",
                found=what,
            ) from error
    parts = filled(rings, size)
    labels = [label for label, *_ in cells]
    names = tuple(dict.fromkeys([*(type_names or ()), *labels])) or (UNTYPED,)
    joined = Instances.from_runs(
        parts.runs, np.array(owners, np.int64)[parts.run_owner], len(cells), size,
        cell_type=np.array([names.index(label) for label in labels], np.int16), type_names=names,
    )  # fmt: skip
    return joined.take(np.diff(joined.splits) > 0)


def _rings(shape: dict[str, Any], size: tuple[int, int]) -> list[NDArray[Any]]:
    """Return the outlines of a shape as x and y, float[K, 2]."""
    kind = shape.get("shape_type", "polygon")
    points = np.array(shape["points"], np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise NoAreaError("made of points that are not finite")
    if kind == "polygon":
        return [points]
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return [np.array([[left, top], [right, top], [right, bottom], [left, bottom]])]
    if kind == "circle":
        radius = math.dist(points[0], points[1])
        turn = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        return [points[0] + radius * np.stack((np.cos(turn), np.sin(turn)), axis=1)]
    if kind == "mask":
        return _mask_rings(shape["mask"], points.min(axis=0), size)
    raise NoAreaError(f"of the kind {kind}")


def _mask_rings(
    text: Any, corner: NDArray[np.float64], size: tuple[int, int]
) -> list[NDArray[Any]]:
    """Return the outlines of a base64 PNG mask whose first pixel is at `corner` (x, y)."""
    from PIL import Image

    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise NoAreaError("a mask that is not base64 text") from None
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        if image.width * image.height > size[0] * size[1]:
            raise NoAreaError(f"a mask of {image.width} x {image.height} pixels")
        mask = np.array(image.convert("L")) > 0
    cells = outlines(Instances.from_label_map(mask.astype(np.int32)))
    polygons = cells[0] if cells else []
    return [ring + np.round(corner) for polygon in polygons for ring in polygon]
