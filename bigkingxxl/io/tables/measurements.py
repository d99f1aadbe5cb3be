"""Measurements of cells, one row per cell, as CSV and Parquet.

The columns are `id` (the number of the cell in the label image), `type`, `score`, `area`,
`perimeter`, `eccentricity`, `solidity`, `intensity_mean`, `_std`, `_min`, `_max`, `_median` (in the
intensities of the image), `centroid_row`, `centroid_col` (0 at the centre of the first pixel), all
in pixels, and `area_um2`, `perimeter_um`, `centroid_row_um`, `centroid_col_um`. Unknown values are
empty in CSV, and NaN in Parquet and in memory. Shapes are those of scikit-image's `regionprops`.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.display_text import table_text
from bigkingxxl.errors import FormatError, OutputError
from bigkingxxl.files import whole_file
from bigkingxxl.geometry import Window
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.tables.csv_table import stream_table, write_table
from bigkingxxl.io.tables.parquet import write_parquet
from bigkingxxl.io.tables.shape_descriptors import (
    centroids,
    eccentricities,
    perimeters,
    solidities,
)

Table = dict[str, NDArray[Any]]
Float64 = NDArray[np.float64]

REQUIRED = ("id", "type", "area")
TEXTS, WHOLE_NUMBERS = ("image", "type"), ("id", "area")
BAND_PIXELS = 16_000_000
ROWS_A_GROUP = 50_000
MEASUREMENT_SUFFIXES = (".csv", ".parquet")


def measure(source: ImageSource, instances: Instances) -> Table:
    """Measure cells: a column of N values per measurement, in the order listed above.

    Each channel of an image has its own columns of intensities, `intensity_mean_0` ...

    Raises:
        ValueError: The sizes of image and cells differ.
    """
    if source.shape != instances.size:
        raise ValueError(f"cells of {instances.size} pixels in an image of {source.shape}")
    # From top to bottom, so that the cells of a group lie in few rows of the image.
    order = np.argsort(instances.boxes()[:, 0], kind="stable")
    groups = [
        _measured(source, instances.take(order[block]))
        for block, _ in rle.blocks(instances.areas()[order])
    ] or [_measured(source, instances)]
    table: Table = {"id": np.arange(1, len(instances) + 1)}
    for name in groups[0]:
        column = np.concatenate([group[name] for group in groups])
        table[name] = np.empty_like(column)
        table[name][order] = column
    return table


def _measured(source: ImageSource, instances: Instances) -> Table:
    """Return all measurements of some cells except their numbers."""
    unknown = np.full(len(instances), np.nan)
    centre = centroids(instances)
    area, perimeter = instances.areas(), perimeters(instances)
    rows, cols = source.pixel_size_um or instances.pixel_size_um or (np.nan, np.nan)
    return {
        "type": np.array(instances.type_names)[instances.cell_type],
        "score": unknown if instances.score is None else instances.score.astype(np.float64),
        "area": area,
        "perimeter": perimeter,
        "eccentricity": eccentricities(instances),
        "solidity": solidities(instances),
        **_intensities(source, instances),
        "centroid_row": centre[:, 0],
        "centroid_col": centre[:, 1],
        "area_um2": area * (rows * cols),
        # A perimeter has all directions, so the mean side of anisotropic pixels is used.
        "perimeter_um": perimeter * np.sqrt(rows * cols),
        "centroid_row_um": centre[:, 0] * rows,
        "centroid_col_um": centre[:, 1] * cols,
    }


def _intensities(source: ImageSource, instances: Instances) -> Table:
    table: Table = {}
    for channel, values in enumerate(_values(source, instances)):
        ending = "" if source.channels == 1 else f"_{channel}"
        for name, column in _statistics(values, instances.areas()).items():
            table[f"intensity_{name}{ending}"] = column
    return table


def _values(source: ImageSource, instances: Instances) -> NDArray[np.float32]:
    """Read the intensities of all cells' pixels in bands of rows, float32[C, P]."""
    _, flat = instances.pixels()
    width = source.shape[1]
    result = np.empty((source.channels, len(flat)), np.float32)
    rows = max(1, BAND_PIXELS // width)
    if not len(flat):
        return result
    first, end = int(instances.runs[:, 0].min()), int(instances.runs[:, 0].max()) + 1
    for top in range(first, end, rows):
        band = Window(top, 0, min(top + rows, end), width)
        pixels = source.read(band).reshape(source.channels, -1)
        if end - first <= rows:
            return pixels[:, flat - first * width]
        here = np.flatnonzero((flat >= top * width) & (flat < band.row1 * width))
        result[:, here] = pixels[:, flat[here] - top * width]
    return result


def _statistics(values: NDArray[np.float32], areas: NDArray[np.int64]) -> dict[str, Float64]:
    """Compute statistics float64[N] from the values of each cell in turn; NaN without pixels."""
    some = np.flatnonzero(areas)
    names = ("mean", "std", "min", "max", "median")
    result = {name: np.full(len(areas), np.nan) for name in names}
    if not len(some):
        return result
    count, splits = areas[some], rle.split_points(areas[some])
    ordered = values.astype(np.float64)
    for start, stop in itertools.pairwise(splits.tolist()):
        ordered[start:stop].sort()
    mean = np.add.reduceat(ordered, splits[:-1]) / count
    deviation = np.square(ordered - np.repeat(mean, count))
    result["mean"][some] = mean
    result["std"][some] = np.sqrt(np.add.reduceat(deviation, splits[:-1]) / count)
    result["min"][some], result["max"][some] = ordered[splits[:-1]], ordered[splits[1:] - 1]
    lower, upper = splits[:-1] + (count - 1) // 2, splits[:-1] + count // 2
    result["median"][some] = (ordered[lower] + ordered[upper]) / 2
    return result


def write_measurements(path: Path, table: Mapping[str, NDArray[Any]]) -> None:
    """Write a table of measurements as CSV or Parquet, by the ending.

    Raises:
        OutputError: The ending is another one, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".csv":
        columns = [_texts(column) for column in table.values()]
        write_table(path, list(table), zip(*columns, strict=True))
    elif path.suffix == ".parquet":
        write_parquet(path, [table], _kinds(table))
    else:
        endings = " or ".join(MEASUREMENT_SUFFIXES)
        raise OutputError(
            f"{path} is not written: measurements are kept as {endings}",
            file=path,
            key="format",
            expected=endings,
        )


def _texts(column: NDArray[Any]) -> list[str]:
    if column.dtype.kind != "f":
        return [str(value) for value in column.tolist()]
    return ["" if value != value else f"{value:.7g}" for value in column.tolist()]


def _kinds(names: Iterable[str]) -> dict[str, str]:
    return {name: _kind(name) for name in names}


def _kind(name: str) -> str:
    return "U" if name in TEXTS else "i" if name in WHOLE_NUMBERS else "f"


def _column(path: Path, name: str, texts: Sequence[str]) -> NDArray[Any]:
    kind = _kind(name)
    try:
        if kind == "f":
            return np.array([text or "nan" for text in texts], np.float64)
        return np.array(texts, np.int64 if kind == "i" else np.str_)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{path}, column '{name}': {error}", file=path, key=name) from error


def join_measurements(
    csv_path: Path, parquet_path: Path, parts: Mapping[str, Path], columns: Sequence[str]
) -> None:
    """Write the measurements of all images as one table, both as CSV and as Parquet.

    The tables of the images are read one after the other and written at the same time, so that
    memory does not depend on their number. The name of the image precedes each row.

    Args:
        csv_path: The CSV file.
        parquet_path: The Parquet file.
        parts: CSV files of measurements by the name of the image.
        columns: All columns that occur in the files, in order.

    Raises:
        InputError: A file cannot be read.
        FormatError: A file is not such a table, or has another column.
        OutputError: The files cannot be written.
    """
    names = ["image", *(columns or REQUIRED)]
    with whole_file(csv_path) as part, part.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)

        def groups() -> Iterator[Table]:
            rest = _rows(parts, names)
            while batch := list(itertools.islice(rest, ROWS_A_GROUP)):
                writer.writerows([table_text(value) for value in row] for row in batch)
                values = zip(*batch, strict=True)
                yield {
                    name: _column(csv_path, name, texts)
                    for name, texts in zip(names, values, strict=True)
                }

        write_parquet(parquet_path, groups(), _kinds(names))


def _rows(parts: Mapping[str, Path], names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the rows of all images' tables, each preceded by the name of the image."""
    known = set(names)
    for image, path in parts.items():
        rows = stream_table(path, ["id"])
        header = next(rows)
        strange = next((name for name in header if name not in known), None)
        if strange is not None:
            raise FormatError(
                f"{path} has the column '{strange}', expected {', '.join(names[1:])}",
                file=path,
                key=strange,
                expected=tuple(names[1:]),
            )
        # A missing column is read from the empty string after the last field.
        places = [header.index(name) if name in header else len(header) for name in names[1:]]
        for row in rows:
            values = [*row, ""]
            yield [image, *(values[place] for place in places)]
