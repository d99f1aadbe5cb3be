"""A table of measurements of all annotated cells of a data set, and properties of its images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.data.quality.shapes import measure_shapes
from bigkingxxl.errors import FormatError, ImageError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.label_images import check_same_size
from bigkingxxl.io.images.image_files import read_header

if TYPE_CHECKING:
    from bigkingxxl.data.dataset import Dataset

THUMBNAIL = 32
SHAPE_COLUMNS = ("area", "outline", "parts", "holes", "filled", "thickness", "compactness")


@dataclass(frozen=True, eq=False)
class CellTable:
    """N cells of M images.

    Attributes:
        cells: Columns [N] by name: image (index), cell (number from 1), cell_type, the measurements
            of `shapes.Shapes`, overlap (largest IoU with another cell), inside (largest fraction
            that another cell covers), and share (fraction of the image's pixels).
        ids: The ids of the M images.
        sizes: Their (H, W).
        covered: int64[M], the number of pixels under any cell.
        covered_twice: int64[M], the number of pixels under several cells.
        pixel_hash: The hash of each image's pixels, '' if it cannot be read.
        annotation_hash: The hash of each image's cells.
        thumbnails: float32[M, 1024], with mean 0 and norm 1; 0 if unreadable or blank.
        blank: bool[M], whether an image shows nothing.
        unreadable: One sentence per image that cannot be read or does not fit its annotation.
        not_annotated: The fraction of pixels that are not annotated, by id.
    """

    cells: dict[str, NDArray[Any]]
    ids: tuple[str, ...]
    sizes: list[tuple[int, int]]
    covered: NDArray[np.int64]
    covered_twice: NDArray[np.int64]
    pixel_hash: list[str]
    annotation_hash: list[str]
    thumbnails: NDArray[np.float32]
    blank: NDArray[np.bool_]
    unreadable: list[str]
    not_annotated: dict[str, float]


def tabulate(dataset: Dataset, track: Track = untracked) -> CellTable:
    """Measure every image and every annotated cell."""
    parts: list[dict[str, NDArray[Any]]] = []
    images: list[_ImageMeasures] = []
    unreadable: list[str] = []
    sizes, covered, hashes = [], [], []
    not_annotated: dict[str, float] = {}
    for index, name in enumerate(track(dataset.ids, len(dataset.ids), "looking at images")):
        try:
            instances = dataset.read_instances(name)
        except (ImageError, FormatError) as error:
            unreadable.append(str(error))
            instances = Instances.empty(_size(dataset, name), dataset.type_names)
        parts.append({"image": np.full(len(instances), index), **_cells(instances)})
        sizes.append(instances.size)
        covered.append(_covered(instances))
        hashes.append(_digest(instances.runs, instances.splits))
        try:
            ignored = dataset.ignored(name)
            if ignored is not None and ignored.any():
                not_annotated[name] = round(float(ignored.mean()), 4)
            images.append(_measure(dataset, name, instances.size))
        except (ImageError, FormatError) as error:
            if str(error) not in unreadable:
                unreadable.append(str(error))
            images.append(_ImageMeasures("", np.zeros(THUMBNAIL**2, np.float32), False))
    once, twice = np.array(covered, np.int64).reshape(-1, 2).T
    return CellTable(
        {key: np.concatenate([part[key] for part in parts]) for key in parts[0]},
        dataset.ids, sizes, once, twice, [image.digest for image in images], hashes,
        np.stack([image.thumbnail for image in images]),
        np.array([image.blank for image in images]),
        unreadable, not_annotated,
    )  # fmt: skip


def _size(dataset: Dataset, name: str) -> tuple[int, int]:
    """Return (H, W) of an image with an unreadable annotation; (1, 1) if it is unreadable, too."""
    try:
        return read_header(dataset.image_path(name)).shape
    except ImageError:
        return 1, 1


def _cells(instances: Instances) -> dict[str, NDArray[Any]]:
    shapes = measure_shapes(instances)
    overlap, inside = _overlaps(instances)
    return {
        "cell": np.arange(1, len(instances) + 1),
        "cell_type": instances.cell_type,
        **{name: getattr(shapes, name) for name in SHAPE_COLUMNS},
        "overlap": overlap,
        "inside": inside,
        "share": shapes.area / (instances.size[0] * instances.size[1]),
    }


def _overlaps(instances: Instances) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest IoU with another cell and the largest covered fraction of each cell."""
    from bigkingxxl.overlaps import overlaps

    areas = np.maximum(instances.areas(), 1)
    pairs = overlaps(instances, instances)
    others = pairs.first != pairs.second
    one, two, pixels = (each[others] for each in pairs)
    overlap, inside = np.zeros(len(areas)), np.zeros(len(areas))
    np.maximum.at(overlap, one, pixels / (areas[one] + areas[two] - pixels))
    np.maximum.at(inside, one, pixels / areas[one])
    return overlap, inside


def _covered(instances: Instances) -> tuple[int, int]:
    """Count the pixels under at least one and under at least two cells."""
    counts = np.bincount(instances.pixels()[1], minlength=1)
    return int((counts > 0).sum()), int((counts > 1).sum())


@dataclass(frozen=True, eq=False)
class _ImageMeasures:
    digest: str
    thumbnail: NDArray[np.float32]
    blank: bool


def _measure(dataset: Dataset, name: str, size: tuple[int, int]) -> _ImageMeasures:
    source = dataset.source(name)
    check_same_size(dataset.image_path(name), source.shape, size)
    pixels = source.read()
    gray = pixels.mean(axis=0)
    rows, cols = (np.linspace(0, side, THUMBNAIL + 1).astype(int)[:-1] for side in gray.shape)
    sums = np.add.reduceat(np.add.reduceat(gray, rows, axis=0), cols, axis=1)
    areas = np.outer(np.diff(rows, append=gray.shape[0]), np.diff(cols, append=gray.shape[1]))
    small = (sums / np.maximum(areas, 1)).ravel()
    small = small - small.mean()
    length = float(np.linalg.norm(small))
    thumbnail = (small / length if length > 1e-6 else small * 0).astype(np.float32)
    blank = bool((pixels.max(axis=(1, 2)) <= pixels.min(axis=(1, 2))).all())
    return _ImageMeasures(_digest(pixels), thumbnail, blank)


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
