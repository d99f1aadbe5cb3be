"""Describe a data set and its doubtful items: counts, sizes, overlaps, suspicious cells."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.data.quality.cell_table import CellTable, tabulate

if TYPE_CHECKING:
    from bigkingxxl.data.dataset import Dataset

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
# Limits of what is doubtful; ratios refer to the median of the cell's own type. They were set by
# hand: they decide what a report points at, and change neither data nor scores.
TINY, HUGE = 1 / 8, 8.0
RAGGED = 0.5
HOLLOW = 0.1
MANY_HOLES = 5
SPECK = 4  # pixels
WHOLE_IMAGE = 0.5
INSIDE_ANOTHER = 0.9
NEAR_DUPLICATE = 0.8
ALIKE = 0.995
SUSPICIONS = {
    "speck": "fewer than 4 pixels",
    "whole image": "more than half of the image",
    "tiny": "area below 1/8 of its type's median",
    "huge": "area above 8 times its type's median",
    "ragged": "compactness below half of its type's median",
    "broken outline": "5 or more holes, or holes of more than a tenth of it",
    "fragments": "several parts",
    "inside another": "nine tenths of it under another cell",
    "duplicate": "IoU above 0.8 with another cell",
}


@dataclass(frozen=True)
class TypeInfo:
    """The statistics of a cell type.

    Attributes:
        images: The number of images with mostly this type.
        cells: The number of cells in all images.
        cells_per_image: Minimum, median and maximum over those images.
        area: In pixels: minimum, each of `PERCENTILES` and maximum.
        thickness: The median in pixels.
    """

    images: int
    cells: int
    cells_per_image: dict[str, float]
    area: dict[str, float]
    thickness: float


@dataclass(frozen=True)
class DataInfo:
    """The description of a data set; see `describe`.

    Attributes:
        image_sizes: The number of images of each 'W x H'.
        overlaps: The number of cells that share pixels with others, and the fraction of covered
            pixels that are shared.
        holes: The number of cells with holes.
        fragments: The number of cells with several parts.
        duplicates: Cells that are equal or nearly equal to another one of their image; groups of
            images with the same pixels, pairs that similarity the same, and groups with the same
            annotation.
        suspicious: The number of cells of each kind in `SUSPICIONS`.
        cells_to_check: Image, cell (its number in label images), cell type, kind and value.
        blank_images: The ids of blank images.
        unreadable: One sentence per unreadable image.
        skipped: One sentence per skipped item.
        notes: Sentences that a reader should know.
        partly_annotated: The fraction of pixels that are not annotated, by id.
        columns: The names of further metadata of the images.
    """

    root: str
    layout: str
    images: int
    cells: int
    unlabelled: int
    image_sizes: dict[str, int]
    types: dict[str, TypeInfo]
    images_without_cells: int
    overlaps: dict[str, float]
    holes: int
    fragments: int
    duplicates: dict[str, Any]
    suspicious: dict[str, int]
    cells_to_check: list[dict[str, Any]]
    blank_images: list[str]
    unreadable: list[str]
    skipped: list[str]
    notes: list[str]
    partly_annotated: dict[str, float]
    columns: list[str]
    table: CellTable = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return everything except the table, for a program to read."""
        values = {key: value for key, value in vars(self).items() if key not in ("table", "types")}
        return {**values, "types": {name: asdict(kind) for name, kind in self.types.items()}}


def describe(dataset: Dataset, track: Track = untracked) -> DataInfo:
    """Measure all images and cells of a data set; what cannot be read is listed."""
    table = tabulate(dataset, track)
    cells = table.cells
    doubts = doubtful(cells, len(dataset.type_names))
    per_image = np.bincount(cells["image"], minlength=len(table.ids))
    covered = int(table.covered.sum())
    return DataInfo(
        root=str(dataset.root),
        layout=dataset.layout,
        images=len(table.ids),
        cells=len(cells["area"]),
        unlabelled=len(dataset.unlabelled),
        image_sizes=dict(Counter(f"{width} x {height}" for height, width in table.sizes)),
        types=_types(dataset, cells, per_image),
        images_without_cells=int((per_image == 0).sum()),
        overlaps={
            "cells": int((cells["overlap"] > 0).sum()),
            "pixel_share": int(table.covered_twice.sum()) / max(covered, 1),
        },
        holes=int((cells["holes"] > 0).sum()),
        fragments=int((cells["parts"] > 1).sum()),
        duplicates=_duplicates(table),
        suspicious={kind: int(which.sum()) for kind, (which, _) in doubts.items()},
        cells_to_check=_to_check(table, dataset.type_names, doubts),
        blank_images=[table.ids[index] for index in np.flatnonzero(table.blank)],
        unreadable=table.unreadable,
        skipped=list(dataset.skipped),
        notes=list(dataset.notes),
        partly_annotated=table.not_annotated,
        columns=sorted(dataset.columns),
        table=table,
    )


def doubtful(
    cells: dict[str, NDArray[Any]], types: int
) -> dict[str, tuple[NDArray[np.bool_], NDArray[Any]]]:
    """Return which cells are doubtful, bool[N], and the relevant value, by kind of `SUSPICIONS`."""
    kind = cells["cell_type"]
    area = cells["area"] / _medians(cells["area"], kind, types)[kind]
    compactness = cells["compactness"] / _medians(cells["compactness"], kind, types)[kind]
    hollow = 1 - cells["area"] / np.maximum(cells["filled"], 1)
    broken = (hollow > HOLLOW) | (cells["holes"] >= MANY_HOLES)
    return {
        "speck": (cells["area"] < SPECK, cells["area"]),
        "whole image": (cells["share"] > WHOLE_IMAGE, cells["share"]),
        "tiny": (area < TINY, cells["area"]),
        "huge": (area > HUGE, cells["area"]),
        "ragged": (compactness < RAGGED, cells["compactness"]),
        "broken outline": (broken, hollow),
        "fragments": (cells["parts"] > 1, cells["parts"]),
        "inside another": (cells["inside"] > INSIDE_ANOTHER, cells["inside"]),
        "duplicate": (cells["overlap"] > NEAR_DUPLICATE, cells["overlap"]),
    }


def _medians(values: NDArray[Any], kind: NDArray[Any], types: int) -> NDArray[np.float64]:
    return np.array([
        max(float(np.median(values[kind == index])), 1e-9) if (kind == index).any() else 1.0
        for index in range(types)
    ])  # fmt: skip


def _types(
    dataset: Dataset, cells: dict[str, NDArray[Any]], per_image: NDArray[np.int64]
) -> dict[str, TypeInfo]:
    majority = _majority(dataset, cells)
    found = {}
    for index, name in enumerate(dataset.type_names):
        own = cells["cell_type"] == index
        counts = per_image[majority == name]
        if not own.any():
            found[name] = TypeInfo(0, 0, {}, {}, 0.0)
            continue
        area = cells["area"][own]
        levels = {f"p{level}": float(np.percentile(area, level)) for level in PERCENTILES}
        found[name] = TypeInfo(
            len(counts), int(own.sum()), _range(counts),
            {"min": float(area.min()), **levels, "max": float(area.max())},
            round(float(np.median(cells["thickness"][own])), 2),
        )  # fmt: skip
    return found


def _majority(dataset: Dataset, cells: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return the most frequent type of each image, str[M]; '' without cells."""
    counts = np.zeros((len(dataset.ids), len(dataset.type_names)), np.int64)
    np.add.at(counts, (cells["image"], cells["cell_type"]), 1)
    names = np.array(dataset.type_names)[counts.argmax(axis=1)]
    return np.where(counts.any(axis=1), names, "")


def _range(values: NDArray[np.int64]) -> dict[str, float]:
    if not len(values):
        return {}
    low, middle, high = values.min(), np.median(values), values.max()
    return {"min": float(low), "median": float(middle), "max": float(high)}


def _duplicates(table: CellTable) -> dict[str, Any]:
    similarity = table.thumbnails @ table.thumbnails.T
    pairs = np.argwhere(np.triu(similarity > ALIKE, 1))
    return {
        "cells_identical": int((table.cells["overlap"] == 1).sum()),
        "cells_near": int((table.cells["overlap"] > NEAR_DUPLICATE).sum()),
        "images_identical": _groups(table.ids, table.pixel_hash),
        "images_alike": [[table.ids[first], table.ids[second]] for first, second in pairs],
        "annotations_identical": _groups(
            table.ids,
            [
                digest if covered else ""
                for digest, covered in zip(table.annotation_hash, table.covered, strict=True)
            ],
        ),
    }


def _groups(ids: tuple[str, ...], digests: list[str]) -> list[list[str]]:
    """Group images with equal digests; empty digests are ignored."""
    members: dict[str, list[str]] = {}
    for name, digest in zip(ids, digests, strict=True):
        if digest:
            members.setdefault(digest, []).append(name)
    return [names for names in members.values() if len(names) > 1]


def _to_check(
    table: CellTable,
    type_names: tuple[str, ...],
    doubts: dict[str, tuple[NDArray[np.bool_], NDArray[Any]]],
) -> list[dict[str, Any]]:
    cells = table.cells
    return [
        {
            "image": table.ids[cells["image"][row]],
            "cell": int(cells["cell"][row]),
            "cell_type": type_names[cells["cell_type"][row]],
            "kind": kind,
            "value": round(float(value[row]), 3),
        }
        for kind, (which, value) in doubts.items()
        for row in np.flatnonzero(which)
    ]
