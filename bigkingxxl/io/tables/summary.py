"""The summary of a run: `summary.csv` with one row per image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.instances import NO_TYPE, Instances, PixelSize
from bigkingxxl.io.tables.csv_table import write_table

SQUARE_UM_A_SQUARE_MM = 1e6


@dataclass(frozen=True)
class ImageSummary:
    """The row of an image.

    Attributes:
        image: The name of the image.
        cells: The number of cells, or None if the image failed.
        by_type: The number of cells of each type.
        confluence_percent: The fraction of the image that cells cover, in per cent.
        median_area: The median area of cells in pixels.
        median_area_um2: The median area in square micrometres.
        density_per_mm2: The number of cells per square millimetre.
        mean_score: The mean score of the cells.
        expected_quality: The expected segmentation accuracy, see `bigkingxxl.expected_quality`;
            None if a person corrected the cells.
        model: The hash of the model file.
        corrected: The folder of the files with corrected cells, or "".
        scale: Network pixels per image pixel.
        diameter: The assumed cell diameter in pixels.
        warnings: Sentences about the image that a user should know.
        failure: Why the image has no cells, or "".
    """

    image: str
    cells: int | None = None
    by_type: dict[str, int] = field(default_factory=dict)
    confluence_percent: float | None = None
    median_area: float | None = None
    median_area_um2: float | None = None
    density_per_mm2: float | None = None
    mean_score: float | None = None
    expected_quality: float | None = None
    model: str = ""
    corrected: str = ""
    scale: float | None = None
    diameter: float | None = None
    warnings: tuple[str, ...] = ()
    failure: str = ""


class ImageFacts(TypedDict, total=False):
    """What a summary reports of an image in addition to its cells.

    Attributes:
        model: The hash of the model file.
        scale: Network pixels per image pixel.
        diameter: The assumed cell diameter in pixels.
        expected_quality: The expected segmentation accuracy.
        warnings: Sentences about the image.
        corrected: The folder of the files with corrected cells.
    """

    model: str
    scale: float | None
    diameter: float | None
    expected_quality: float | None
    warnings: Sequence[str]
    corrected: str


def summarise(image: str, instances: Instances, **facts: Unpack[ImageFacts]) -> ImageSummary:
    """Compute the row of an image; values that are unknown or undefined are None.

    Args:
        image: The name of the image.
        instances: The cells.
        **facts: What else is known of the image; see `ImageFacts`.
    """
    # A pixel counts once, even if annotated cells overlap.
    everything = np.zeros(len(instances.runs), np.int64)
    covered = Instances.from_runs(instances.runs, everything, 1, instances.size).areas()
    cells = CellNumbers(
        instances.type_names, instances.cell_type, instances.areas(), instances.score
    )
    return summary_of(
        image, cells, int(covered[0]), instances.size, instances.pixel_size_um, **facts
    )


class CellNumbers(NamedTuple):
    """The properties of N cells that a summary needs.

    Attributes:
        type_names: The names of T types.
        cell_type: int16[N], the type of each cell.
        areas: int64[N], in pixels.
        score: float32[N], or None.
    """

    type_names: tuple[str, ...]
    cell_type: NDArray[np.int16]
    areas: NDArray[np.int64]
    score: NDArray[np.float32] | None


def summary_of(
    image: str,
    cells: CellNumbers,
    covered: int,
    size: tuple[int, int],
    pixel_size_um: PixelSize | None,
    **facts: Unpack[ImageFacts],
) -> ImageSummary:
    """Compute the row of an image; see `summarise`.

    Args:
        image: The name of the image.
        cells: The properties of its cells.
        covered: The number of pixels that cells cover.
        size: (H, W) of the image.
        pixel_size_um: Micrometres per pixel (row, column), or None.
        **facts: What else is known of the image; see `ImageFacts`.
    """
    pixels, count = size[0] * size[1], len(cells.areas)
    counts = np.bincount(cells.cell_type, minlength=len(cells.type_names)).tolist()
    area = float(np.median(cells.areas)) if count else None
    pixel_um2 = None if pixel_size_um is None else pixel_size_um[0] * pixel_size_um[1]
    return ImageSummary(
        image=image,
        cells=count,
        by_type={name: count for name, count in zip(cells.type_names, counts, strict=True)
                 if name != NO_TYPE},
        confluence_percent=100 * covered / pixels,
        median_area=area,
        median_area_um2=None if area is None or pixel_um2 is None else area * pixel_um2,
        density_per_mm2=(
            None if pixel_um2 is None
            else count / (pixels * pixel_um2) * SQUARE_UM_A_SQUARE_MM
        ),
        mean_score=_mean(cells.score),
        model=facts.get("model", ""),
        scale=facts.get("scale"),
        diameter=facts.get("diameter"),
        expected_quality=facts.get("expected_quality"),
        warnings=tuple(facts.get("warnings", ())),
        corrected=facts.get("corrected", ""),
    )  # fmt: skip


def _mean(score: NDArray[np.float32] | None) -> float | None:
    """Return the mean of the known scores."""
    known = np.zeros(0, np.float32) if score is None else score[np.isfinite(score)]
    return float(known.mean()) if len(known) else None


def types_found(counts: Iterable[Mapping[str, int]]) -> list[str]:
    """Return the cell types of all images; none if no cell of any image has a type.

    Args:
        counts: The number of cells of each type that an image may have, for each image.
    """
    types: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            types[name] = types.get(name, 0) + count
    return list(types) if any(types.values()) else []


def write_summary(
    path: Path, rows: Iterable[ImageSummary], types: Sequence[str] | None = None
) -> None:
    """Write one row per image as they arrive; unknown values are empty.

    The columns are image, cells, `cells_<type>` for every type in `types`, confluence_percent,
    median_area (pixels), median_area_um2, density_per_mm2, mean_score, expected_quality, model,
    corrected, scale, diameter (the assumed one in pixels), warnings and failure. `cells_<type>` is
    0 if there is no cell of the type, and empty only if the image failed.

    Args:
        path: The file.
        rows: The rows.
        types: The types with a column (see `types_found`), so that rows need not be kept in memory.

    Raises:
        OutputError: The file cannot be written.
    """
    if types is None:
        rows = list(rows)
        types = types_found(row.by_type for row in rows)
    numbers = ("confluence_percent", "median_area", "median_area_um2", "density_per_mm2",
               "mean_score", "expected_quality")  # fmt: skip
    header = ["image", "cells", *(f"cells_{name}" for name in types), *numbers,
              "model", "corrected", "scale", "diameter", "warnings", "failure"]  # fmt: skip
    table = (
        [row.image, "" if row.cells is None else row.cells,
         *("" if row.cells is None else row.by_type.get(name, 0) for name in types),
         *(_text(getattr(row, name)) for name in numbers),
         row.model, row.corrected, _text(row.scale), _text(row.diameter),
         "; ".join(row.warnings), row.failure]
        for row in rows
    )  # fmt: skip
    write_table(path, header, table)


def _text(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"
