"""The selected cells of an image on disk, and those of a label image that a person changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError
from bigkingxxl.instances import NO_TYPE, Instances, PixelSize
from bigkingxxl.npz_files import as_array, write_npz
from bigkingxxl.overlaps import iou_pairs

SAME_CELL = 0.5  # the IoU from which a changed cell counts as the predicted one
FORMAT = "bigkingxxl-cells-1"
EXTRA = "extra_"
SETTLED = "settled"  # files of a large image's blocks with the cells that each block owns


@dataclass(frozen=True, eq=False)
class NumberedCells:
    """Cells with their numbers in the label image.

    Attributes:
        instances: The cells.
        numbers: int64[N], ascending.
    """

    instances: Instances
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, instances: Instances) -> NumberedCells:
        """Assign the numbers that are written to files: cell i has the number i + 1."""
        return cls(instances, np.arange(1, len(instances) + 1))


def save_cells(
    path: Path, cells: Instances, extra: Mapping[str, NDArray[Any]] | None = None
) -> None:
    """Write cells to an `.npz` file without pickles, atomically and reproducibly.

    Args:
        path: The file.
        cells: The cells.
        extra: Further arrays by name, which `load_cells_and` returns.

    Raises:
        OutputError: It cannot be written.
    """
    header = {"format": FORMAT, "size": list(cells.size), "type_names": list(cells.type_names),
              "pixel_size_um": cells.pixel_size_um}  # fmt: skip
    arrays: dict[str, NDArray[Any]] = {
        "header": as_array(header),
        "runs": cells.runs,
        "splits": cells.splits,
        "cell_type": cells.cell_type,
    }
    if cells.score is not None:
        arrays["score"] = cells.score
    arrays |= {f"{EXTRA}{name}": array for name, array in (extra or {}).items()}
    write_npz(path, arrays)


def load_cells(path: Path) -> Instances:
    """Read a file that `save_cells` wrote.

    Raises:
        FormatError: The file is missing or not such an archive.
    """
    return load_cells_and(path)[0]


def load_cells_and(path: Path) -> tuple[Instances, dict[str, NDArray[Any]]]:
    """Read cells and the further arrays of `save_cells`; for errors see `load_cells`."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            size, pixel_size = header["size"], header["pixel_size_um"]
            cells = Instances(
                archive["runs"], archive["splits"], (int(size[0]), int(size[1])),
                archive["cell_type"], tuple(header["type_names"]), archive.get("score"),
                None if pixel_size is None else (float(pixel_size[0]), float(pixel_size[1])),
            )  # fmt: skip
            further = [name for name in archive.files if name.startswith(EXTRA)]
            return cells, {name.removeprefix(EXTRA): archive[name] for name in further}
    # zipfile, zlib and numpy raise many kinds of exception for a broken archive.
    except Exception as error:
        raise FormatError(f"{path} is not a file of cells ({error})", file=path) from error


def load_cells_of_blocks(folder: Path, run: str) -> Instances:
    """Read all cells of a large image from the files of its blocks, in order of their numbers.

    Args:
        folder: The folder of the image's blocks.
        run: The fingerprint of the run's settings.

    Raises:
        FormatError: The files are missing or damaged.
    """
    parts = [load_cells(path) for path in sorted((folder / run / SETTLED).glob("*.npz"))]
    if not parts:
        raise FormatError(
            f"{folder / run} contains no cells any more: predict the image again", file=folder / run
        )
    return Instances.concatenate(parts)


def corrected_cells(
    labels: NDArray[np.int32], found: Instances | None, pixel_size_um: PixelSize | None
) -> NumberedCells:
    """Return the cells of a label image with the metadata of the predicted cells.

    A cell with the same pixels as a predicted one has its score and type; a cell with an IoU of at
    least 0.5 has its type. Others have the type that all predicted cells share, else `NO_TYPE`.
    Their score is NaN.

    Args:
        labels: int32[H, W], 0 is background.
        found: The predicted cells of the image, or None.
        pixel_size_um: Micrometres per pixel (row, column), or None.
    """
    cells = Instances.from_label_map(labels)
    numbers = labels.ravel()[_first_pixels(cells)].astype(np.int64)
    count = len(cells)
    score = np.full(count, np.nan, np.float32)
    names: tuple[str, ...] = (NO_TYPE,)
    kinds = np.zeros(count, np.int16)
    if found is not None and found.size == cells.size:
        names, kinds = found.type_names, np.full(count, -1, np.int16)
        own, other, overlap = iou_pairs(cells, found)
        close = np.flatnonzero(overlap >= SAME_CELL)
        # in ascending order, so that the best one is written last
        close = close[np.argsort(overlap[close], kind="stable")]
        kinds[own[close]] = found.cell_type[other[close]]
        same = np.flatnonzero(overlap == 1)
        if found.score is not None:
            score[own[same]] = found.score[other[same]]
        names, kinds = _others_named(names, kinds, found)
    return NumberedCells(
        Instances(cells.runs, cells.splits, cells.size, kinds, names, score, pixel_size_um),
        numbers,
    )


def _others_named(
    names: tuple[str, ...], kinds: NDArray[np.int16], found: Instances
) -> tuple[tuple[str, ...], NDArray[np.int16]]:
    """Replace the type -1 of new cells by the common type, else by `NO_TYPE`."""
    new = kinds < 0
    if not new.any():
        return names, kinds
    shared = np.unique(found.cell_type)
    if len(shared) == 1 or len(names) == 1:
        return names, np.where(new, shared[0] if len(shared) else 0, kinds).astype(np.int16)
    if NO_TYPE not in names:
        names = (*names, NO_TYPE)
    return names, np.where(new, names.index(NO_TYPE), kinds).astype(np.int16)


def _first_pixels(cells: Instances) -> NDArray[np.int64]:
    """Return the position row * W + column of a pixel of each cell, int64[N]."""
    first = cells.runs[cells.splits[:-1]].astype(np.int64)
    return first[:, 0] * cells.size[1] + first[:, 1]
