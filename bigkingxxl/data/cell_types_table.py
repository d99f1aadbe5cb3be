"""`cell_types.csv`: the cell types that label images and masks cannot store.

The columns are `id`, `cell_type`, optionally `cell` (the label in the label image) if the cells of
an image differ, and optionally `score`. A row without `cell` applies to all other cells of the
image. For formats that renumber their cells when one is removed (`_seg.npy`, a mask per cell), only
the type of the image is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.tables.csv_table import CsvTable, read_table, write_table

FILE = "cell_types.csv"
LARGEST = 2**31 - 1


@dataclass(frozen=True, eq=False)
class CellTypes:
    """Cell types and optional scores by image and cell.

    Attributes:
        names: The sorted types; ("cell",) without a table.
        of_image: The type of all cells of an image.
        of_cell: The type of single cells.
        scores: The scores of single cells.
    """

    names: tuple[str, ...] = (UNTYPED,)
    of_image: Mapping[str, str] = field(default_factory=dict)
    of_cell: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    scores: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def apply(self, image_id: str, labels: NDArray[np.int32]) -> Instances:
        """Return the cells of a label map [H, W] with their types."""
        values = np.unique(labels)
        numbers = values[values != 0].tolist()
        cells, usual = Instances.from_label_map(labels), self._usual(image_id)
        own, scores = self.of_cell.get(image_id, {}), self.scores.get(image_id, {})
        kinds = [self.names.index(own.get(number, usual)) for number in numbers]
        score = np.array([scores.get(number, 1.0) for number in numbers], np.float32)
        return replace(
            cells, cell_type=np.array(kinds, np.int16), type_names=self.names,
            score=score if scores else None,
        )  # fmt: skip

    def apply_to(self, image_id: str, cells: Instances) -> Instances:
        """Return the cells with the type of the image."""
        kind = self.names.index(self._usual(image_id))
        return replace(
            cells, cell_type=np.full(len(cells), kind, np.int16), type_names=self.names
        )  # fmt: skip

    def _usual(self, image_id: str) -> str:
        return self.of_image.get(image_id, self.names[0])


def read_cell_types(folder: Path, ids: Sequence[str]) -> CellTypes:
    """Read the table of a folder, if there is one.

    Raises:
        FormatError: An image has no type, or a cell or score is not a number.
    """
    path = folder / FILE
    if not path.is_file():
        return CellTypes()
    table = read_table(path, ("id", "cell_type"))
    of_image: dict[str, str] = {}
    of_cell: dict[str, dict[int, str]] = {}
    scores: dict[str, dict[int, float]] = {}
    for image_id, kind, cell, score in _rows(path, table):
        if cell is None:
            of_image[image_id] = kind
            continue
        of_cell.setdefault(image_id, {})[cell] = kind
        if score is not None:
            scores.setdefault(image_id, {})[cell] = score
    for image_id in ids:
        if not of_image.get(image_id) and image_id not in of_cell:
            raise FormatError(
                f"{path} names no cell type for image {image_id}",
                file=path,
                key="cell_type",
                found=image_id,
            )
    kinds = {of_image[image_id] for image_id in ids if image_id in of_image}
    kinds |= {kind for image_id in ids for kind in of_cell.get(image_id, {}).values()}
    return CellTypes(tuple(sorted(kinds)) or (UNTYPED,), of_image, of_cell, scores)


def _rows(path: Path, table: CsvTable) -> Iterator[tuple[str, str, int | None, float | None]]:
    """Yield image, type, cell and score of each row; a row without a cell applies to the image."""
    blank = [""] * len(table)
    columns = [table.columns[name] for name in ("id", "cell_type")]
    columns += [table.columns.get(name, blank) for name in ("cell", "score")]
    for image_id, kind, cell, score, line in zip(*columns, table.lines, strict=True):
        number = cell.strip()
        if number and not (number.isdecimal() and len(number) <= len(str(LARGEST))):
            raise FormatError(
                f"{path}, line {line}: the cell '{cell}', expected 1, 2, 3 ...",
                file=path,
                key="cell",
                found=cell,
                line=line,
            )
        if not kind and not number:
            continue
        place = int(number) if number else None
        yield image_id, kind or UNTYPED, place, _score(path, line, score)


def _score(path: Path, line: int, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise FormatError(
            f"{path}, line {line}: the score '{text}', expected one from 0 to 1",
            file=path,
            key="score",
            found=text,
            line=line,
        )
    return value


def write_cell_types(folder: Path, cells: Iterable[tuple[str, Instances]]) -> None:
    """Write the type and score of every visible cell of label images, by its label.

    Raises:
        OutputError: It cannot be written.
    """

    def rows() -> Iterator[tuple[str, str, str, str]]:
        for image_id, found in cells:
            counts = np.bincount(found.cell_type, minlength=len(found.type_names))
            yield image_id, "", found.type_names[int(counts.argmax())], ""
            for index, kind in enumerate(found.cell_type.tolist()):
                score = "" if found.score is None else str(found.score[index])
                yield image_id, str(index + 1), found.type_names[kind], score

    write_table(folder / FILE, ("id", "cell", "cell_type", "score"), rows())
