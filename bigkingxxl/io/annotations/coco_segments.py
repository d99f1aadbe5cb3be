"""JSON and the three kinds of COCO segmentations, converted to instances and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco_strings import column_runs, read_strings
from bigkingxxl.io.annotations.outlines import batches
from bigkingxxl.io.annotations.polygons import fill_polygons

Int64 = NDArray[np.int64]
Runs = NDArray[np.int32]
Size = tuple[int, int]
FEWEST_POINTS = 3
MOST_LETTERS = 1 << 21  # characters of run-length codes that are read at once
MOST_PIXELS = 1 << 20  # pixels that are decoded at once
FARTHEST = 10  # in image sides; outlines are followed point by point and must not be endless


class SegmentError(ValueError):
    """A segmentation is malformed; holds its index and what is wrong."""

    def __init__(self, index: int, what: str) -> None:
        super().__init__(what)
        self.index = index


def read_segments(segments: Sequence[Any], size: Size, **fields: Any) -> Instances:
    """Convert N segmentations of an image of `size` (H, W) to N instances.

    Polygons with fewer than three points have no area and are left out.

    Args:
        segments: The segmentations.
        size: (H, W).
        **fields: See `Instances`.

    Raises:
        SegmentError: A segmentation is malformed or belongs to an image of another size.
    """
    outlines = [place for place, segment in enumerate(segments) if isinstance(segment, list)]
    codes = [place for place, segment in enumerate(segments) if not isinstance(segment, list)]
    runs, owner = _fill(segments, outlines, size)
    code_runs, code_owner = _unroll(segments, codes, size)
    return Instances.from_runs(
        np.concatenate((runs, code_runs)),
        np.concatenate((owner, code_owner)),
        len(segments),
        size,
        **fields,
    )


def _fill(segments: Sequence[Any], places: Sequence[int], size: Size) -> tuple[Runs, Int64]:
    """Return runs and their owners for the segmentations that are lists of polygons."""
    polygons: list[NDArray[np.float64]] = []
    owners: list[int] = []
    for place in places:
        try:
            parts = [_polygon(part, size) for part in segments[place]]
        except ValueError as error:
            raise SegmentError(place, str(error)) from error
        parts = [part for part in parts if len(part) >= FEWEST_POINTS]
        polygons += parts
        owners += [place] * len(parts)
    runs, owner = fill_polygons(polygons, size)
    return runs, np.array(owners, np.int64)[owner]


def _polygon(part: Any, size: Size) -> NDArray[np.float64]:
    """Convert a polygon to x and y, float64[K, 2]."""
    try:
        points = np.array(part, np.float64)
    except (TypeError, ValueError):
        raise ValueError("a polygon that is not a list of numbers") from None
    if points.ndim == 0:
        raise ValueError("numbers instead of a list of polygons")
    if points.ndim == 2 and points.shape[1] == 2:  # pairs, as written by some programs
        points = points.ravel()
    if points.ndim != 1 or len(points) % 2:
        raise ValueError(f"a polygon of {points.size} numbers, expected x and y of each point")
    if not (np.abs(points) <= FARTHEST * max(size)).all():
        raise ValueError("a polygon with a coordinate that is not finite or far outside the image")
    return points.reshape(-1, 2)


def _unroll(segments: Sequence[Any], places: Sequence[int], size: Size) -> tuple[Runs, Int64]:
    """Return runs and their owners for the segmentations that are run-length codes."""
    for place in places:
        _check_code(place, segments[place], size)
    parts, owners = [np.zeros((0, 3), np.int32)], [np.zeros(0, np.int64)]
    for read, kind in ((read_strings, str), (_read_lists, list)):
        chosen = [place for place in places if isinstance(segments[place]["counts"], kind)]
        lengths = np.array([len(segments[place]["counts"]) for place in chosen], np.int64)
        for first, last in batches(lengths, MOST_LETTERS):
            some = chosen[first:last]
            counts, bounds, well = read([segments[place]["counts"] for place in some])
            _check_counts(some, counts, bounds, well, size[0] * size[1])
            for runs, owner in _row_runs(counts, bounds, size):
                parts.append(runs)
                owners.append(np.array(some, np.int64)[owner])
    return np.concatenate(parts), np.concatenate(owners)


def _row_runs(counts: Int64, bounds: Int64, size: Size) -> Iterator[tuple[Runs, Int64]]:
    """Yield row runs and their owners for column-major codes, in blocks."""
    height, width = size
    start, length, owner = column_runs(counts, bounds, height * width)
    codes = len(bounds) - 1
    areas = np.zeros(codes, np.int64)
    np.add.at(areas, owner, length)
    begins = np.searchsorted(owner, np.arange(codes + 1))
    # A cell that fills much of the image is faster to draw than to sort.
    is_large = areas > min(MOST_PIXELS, height * width // 16)
    areas[is_large] = MOST_PIXELS + 1
    for first, last in batches(areas, MOST_PIXELS):
        part = slice(int(begins[first]), int(begins[last]))
        if is_large[first]:
            drawn = np.zeros(height * width + 1, np.int8)
            np.add.at(drawn, start[part], 1)
            np.add.at(drawn, start[part] + length[part], -1)
            mask = np.cumsum(drawn[:-1], dtype=np.int8).reshape(width, height).T
            runs = rle.label_runs(np.ascontiguousarray(mask))[0]
            yield runs, np.full(len(runs), first)
            continue
        place = rle.expand(start[part], length[part])
        cells = Instances.from_pixels(
            np.repeat(owner[part] - first, length[part]),
            (place % height) * width + place // height, last - first, size,
        )  # fmt: skip
        yield cells.runs, cells.run_owner + first


def _check_code(place: int, segment: Any, size: Size) -> None:
    if not isinstance(segment, dict) or "counts" not in segment or "size" not in segment:
        raise SegmentError(place, "a segmentation that is neither polygons nor a run-length code")
    if segment["size"] != list(size):
        raise SegmentError(
            place, f"a run-length code of size {segment['size']}, expected {list(size)}"
        )
    if not isinstance(segment["counts"], str | list):
        raise SegmentError(place, "run lengths that are neither a string nor a list")


def _read_lists(lists: Sequence[list[Any]]) -> tuple[Int64, Int64, NDArray[np.bool_]]:
    """Read uncompressed counts in the form in which `read_strings` returns compressed ones."""
    well = np.array([all(type(value) is int for value in values) for values in lists], bool)
    kept = [values if good else [] for values, good in zip(lists, well.tolist(), strict=True)]
    try:
        counts = np.array([value for values in kept for value in values], np.int64)
    except OverflowError:
        return np.zeros(0, np.int64), np.zeros(len(lists) + 1, np.int64), np.zeros_like(well)
    return counts, rle.split_points(np.array([len(values) for values in kept], np.int64)), well


def _check_counts(
    places: Sequence[int], counts: Int64, bounds: Int64, well: NDArray[np.bool_], area: int
) -> None:
    """Check that each code consists of non-negative integers that add up to the image.

    Raises:
        SegmentError: For the first code that does not.
    """
    owner = np.repeat(np.arange(len(places)), np.diff(bounds))
    # The sum alone could overflow to the right value.
    within = np.bincount(owner[(counts < 0) | (counts > area)], minlength=len(places)) == 0
    totals = np.diff(rle.split_points(counts)[bounds])
    bad = np.flatnonzero(~well | ~within | (totals != area))
    if not len(bad):
        return
    first = int(bad[0])
    if not well[first]:
        raise SegmentError(places[first], "run lengths that are not a code of integers")
    raise SegmentError(
        places[first],
        f"run lengths that add up to {totals[first]}, expected {area} and none below 0",
    )


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: It is missing or cannot be opened.
        FormatError: It is not JSON.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}", file=path)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not a JSON file ({error})", file=path) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", file=path) from error


def with_pixels(instances: Instances) -> Instances:
    """Drop cells without pixels inside the image."""
    kept = np.diff(instances.splits) > 0
    return instances if kept.all() else instances.take(kept)


def segments_of(instances: Instances) -> Iterator[tuple[dict[str, Any], list[int], int, int]]:
    """Yield run-length code, COCO box (x, y, width, height), area and type of non-empty cells."""
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
