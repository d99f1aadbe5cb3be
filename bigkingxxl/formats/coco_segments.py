"""What COCO's files are made of: JSON, and segmentations of three kinds, as instances and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.formats.polygons import fill_polygons
from bigkingxxl.instances import Instances

Int64 = NDArray[np.int64]
FEWEST_POINTS = 3
FARTHEST = 10  # image sides: an outline is walked point by point, so none may be endless


class SegmentError(ValueError):
    """What is wrong with one segmentation, and which one it is."""

    def __init__(self, index: int, what: str) -> None:
        super().__init__(what)
        self.index = index


def read_segments(segments: Sequence[Any], size: tuple[int, int], **fields: Any) -> Instances:
    """N segmentations of an image of `size` (H, W) as N instances; fields as in `Instances`.

    Raises:
        SegmentError: a segmentation that is malformed or belongs to an image of another size.
    """
    polygons: list[NDArray[np.float64]] = []
    polygon_owner: list[int] = []
    counts: list[Int64] = []
    counts_owner: list[int] = []
    for index, segment in enumerate(segments):
        try:
            if isinstance(segment, list):
                parts = [_polygon(part, size) for part in segment]
                polygons += parts
                polygon_owner += [index] * len(parts)
            else:
                counts.append(_counts(segment, size))
                counts_owner.append(index)
        except ValueError as error:
            raise SegmentError(index, str(error)) from error
    owner, flat = fill_polygons(polygons, size)
    run_owner, run_flat = rle.rows_from_column_counts(counts, size)
    owners = (
        np.array(polygon_owner, np.int64)[owner],
        np.array(counts_owner, np.int64)[run_owner],
    )
    return Instances.from_pixels(
        np.concatenate(owners), np.concatenate((flat, run_flat)), len(segments), size, **fields
    )


def _polygon(part: Any, size: tuple[int, int]) -> NDArray[np.float64]:
    """float64[K, 2], x and y."""
    try:
        points = np.array(part, np.float64)
    except (TypeError, ValueError):
        raise ValueError("a polygon that is no list of numbers") from None
    if points.ndim != 1 or len(points) % 2 or len(points) < 2 * FEWEST_POINTS:
        raise ValueError(
            f"a polygon of {points.size} numbers, expected x and y of at least {FEWEST_POINTS} "
            "points"
        )
    if not (np.abs(points) <= FARTHEST * max(size)).all():
        raise ValueError("a polygon with a coordinate that is not finite or far outside the image")
    return points.reshape(-1, 2)


def _counts(segment: Any, size: tuple[int, int]) -> Int64:
    """The column-major counts of a run-length code that fits the image."""
    if not isinstance(segment, dict) or "counts" not in segment or "size" not in segment:
        raise ValueError("a segmentation that is neither polygons nor a run-length code")
    if segment["size"] != list(size):
        raise ValueError(f"a run-length code of size {segment['size']}, expected {list(size)}")
    values = segment["counts"]
    if isinstance(values, str):
        counts = rle.coco_counts(values)
    elif isinstance(values, list) and all(type(value) is int for value in values):
        counts = np.array(values, np.int64)
    else:
        raise ValueError("run lengths that are no list of whole numbers")
    area = size[0] * size[1]
    # The sum alone could wrap round to the right one.
    if ((counts < 0) | (counts > area)).any() or int(counts.sum()) != area:
        total = int(counts.sum())
        raise ValueError(f"run lengths that add up to {total}, expected {area} and none below 0")
    return counts


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it is missing or cannot be opened.
        FormatError: it is no JSON.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not a JSON file ({error})") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def with_pixels(instances: Instances) -> Instances:
    """Without cells that have no pixel inside the image."""
    kept = np.diff(instances.splits) > 0
    return instances if kept.all() else instances.take(kept)


def segments_of(instances: Instances) -> Iterator[tuple[dict[str, Any], list[int], int, int]]:
    """Run-length code, COCO box (x, y, width, height), area and type of each cell with pixels."""
    boxes = instances.boxes()[:, [1, 0, 3, 2]]
    boxes[:, 2:] -= boxes[:, :2]
    size = list(instances.size)
    for text, box, area, kind in zip(
        instances.coco_strings(),
        boxes.tolist(),
        instances.areas().tolist(),
        instances.cell_type.tolist(),
        strict=True,
    ):
        if area:
            yield {"size": size, "counts": text}, box, area, kind
