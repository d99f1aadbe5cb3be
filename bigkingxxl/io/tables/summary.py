"""What was found in each image of a run: `summary.csv`, one row per image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.instances import NO_TYPE, Instances, PixelSize
from bigkingxxl.io.tables.csv_table import write_table

SQUARE_UM_A_SQUARE_MM = 1e6


@dataclass(frozen=True)
class ImageSummary:
    """One image's row.

    Attributes:
        image: its name; cells: how many, or None where the image failed; by_type: of each type.
        confluence_percent: share of the image that cells cover.
        median_area: of the cells, in pixels; median_area_um2: in square micrometres.
        density_per_mm2: cells a square millimetre of the image.
        mean_score: of the cells.
        expected_quality: the segmentation accuracy to be expected, see `bigkingxxl.quality`; None
            where a person corrected the cells.
        model: hash of the model file that found the cells; corrected: the folder of the files from
            which corrected cells were taken, or ""; scale: network pixels per image pixel.
        diameter: that its cells were taken to have, in pixels.
        warnings: what the user should know of the image; failure: why it has no cells, or "".
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


def summarise(
    image: str,
    instances: Instances,
    *,
    model: str = "",
    scale: float | None = None,
    diameter: float | None = None,
    expected_quality: float | None = None,
    warnings: Sequence[str] = (),
    corrected: str = "",
) -> ImageSummary:
    """The row of one image; what is not known, or not defined without cells, is None.

    Args:
        model: hash of the model file; scale: network pixels per image pixel.
        diameter: that the cells were taken to have, in pixels.
    """
    # Where annotated cells overlap, a pixel still counts once.
    everything = np.zeros(len(instances.runs), np.int64)
    covered = Instances.from_runs(instances.runs, everything, 1, instances.size).areas()
    cells = CellNumbers(
        instances.type_names, instances.cell_type, instances.areas(), instances.score
    )
    return summary_of(
        image, cells, int(covered[0]), instances.size, instances.pixel_size_um, model=model,
        scale=scale, diameter=diameter, expected_quality=expected_quality, warnings=warnings,
        corrected=corrected,
    )  # fmt: skip


class CellNumbers(NamedTuple):
    """What a summary needs of N cells.

    Attributes:
        type_names: of T types; cell_type: int16[N], which each cell has.
        areas: int64[N] pixels; score: float32[N], or None.
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
    *,
    model: str = "",
    scale: float | None = None,
    diameter: float | None = None,
    expected_quality: float | None = None,
    warnings: Sequence[str] = (),
    corrected: str = "",
) -> ImageSummary:
    """The row of one image, see `summarise`.

    Args:
        covered: pixels of the image that lie in any cell; size: (H, W) of the image.
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
        model=model,
        scale=scale,
        diameter=diameter,
        expected_quality=expected_quality,
        warnings=tuple(warnings),
        corrected=corrected,
    )  # fmt: skip


def _mean(score: NDArray[np.float32] | None) -> float | None:
    """The mean of the known ones."""
    known = np.zeros(0, np.float32) if score is None else score[np.isfinite(score)]
    return float(known.mean()) if len(known) else None


def write_summary(
    path: Path, rows: Iterable[ImageSummary], types: Sequence[str] | None = None
) -> None:
    """Write one row per image, as they come; what is not known is left empty.

    Columns: image, cells, `cells_<type>` of every type that any image knows, confluence_percent,
    median_area (px), median_area_um2, density_per_mm2, mean_score, expected_quality, model,
    corrected, scale, diameter (px, that the cells were taken to have), warnings, failure.
    `cells_<type>` is 0 where no cell is of the type, and empty only where the image failed.

    Args:
        types: that occur in the rows, so that these need not be held.

    Raises:
        OutputError: the file cannot be written.
    """
    if types is None:
        rows = list(rows)
        types = list(dict.fromkeys(name for row in rows for name in row.by_type))
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
