"""Small data sets in Kaggle's layout with known cells."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.instances import Instances

TYPES = ("astro", "cort")


def rectangles(
    *corners: tuple[int, int, int, int],
    size: tuple[int, int] = (40, 50),
    types: tuple[int, ...] | None = None,
) -> Instances:
    """Cells that fill (row0, col0, row1, col1), in that order; of the first type by default."""
    crops = [np.ones((row1 - row0, col1 - col0), bool) for row0, col0, row1, col1 in corners]
    kinds = np.zeros(len(corners), int) if types is None else np.array(types)
    places = [corner[:2] for corner in corners]
    return Instances.from_crops(places, crops, size, cell_type=kinds, type_names=TYPES)


def kaggle_folder(
    folder: Path,
    images: Mapping[str, Instances],
    pixels: Mapping[str, NDArray[Any]] | None = None,
    **columns: Mapping[str, str],
) -> Path:
    """Write `train.csv` and `train/*.png`, with random pixels where none are given."""
    (folder / "train").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = ["id", "annotation", "width", "height", "cell_type", *columns]
    with (folder / "train.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        for name, cells in images.items():
            height, width = cells.size
            values = [column[name] for column in columns.values()]
            kinds = [cells.type_names[kind] for kind in cells.cell_type]
            for text, kind in zip(cells.kaggle_strings(), kinds, strict=True):
                writer.writerow([name, text, width, height, kind, *values])
            if not len(cells):
                writer.writerow([name, "", width, height, "", *values])
            own = (pixels or {}).get(name, rng.integers(0, 255, cells.size).astype(np.uint8))
            Image.fromarray(own).save(folder / "train" / f"{name}.png")
    return folder


def dataset_of(
    root: Path,
    cells: Mapping[str, Instances],
    columns: Mapping[str, Mapping[str, str]] | None = None,
) -> Dataset:
    """A data set without files, for code that reads only annotations."""
    return Dataset(
        layout="kaggle",
        root=root,
        ids=tuple(cells),
        type_names=TYPES,
        paths={name: root / "train" / f"{name}.png" for name in cells},
        read_instances=cells.__getitem__,
        columns=columns or {},
    )
