"""`cell_types.csv`: what label images and masks do not say of their cells.

Columns: `id`, `cell_type`, and where cells of one image differ `cell` (the number in the label
image), maybe `score`. A row without `cell` is for all other cells of the image. Formats that number
their cells anew when one is removed (`_seg.npy`, a mask a cell) know the type of the image alone.
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
    """Types, and maybe scores, by image and cell.

    Attributes:
        names: the types, sorted; ("cell",) where there is no table.
        of_image: the type of all cells of an image; of_cell: of single ones.
        scores: of single cells.
    """

    names: tuple[str, ...] = (UNTYPED,)
    of_image: Mapping[str, str] = field(default_factory=dict)
    of_cell: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    scores: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def apply(self, image_id: str, labels: NDArray[np.int32]) -> Instances:
        """The cells of a label map [H, W] with their types."""
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
        """The same cells, all of the image's type."""
        kind = self.names.index(self._usual(image_id))
        return replace(
            cells, cell_type=np.full(len(cells), kind, np.int16), type_names=self.names
        )  # fmt: skip

    def _usual(self, image_id: str) -> str:
        return self.of_image.get(image_id, self.names[0])


def read_cell_types(folder: Path, ids: Sequence[str]) -> CellTypes:
    """The table of a folder, or none.

    Raises:
        FormatError: it names no type for one of the images, or a cell or score that is no number.
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
    """Image, type, cell and score of each row; no cell stands for all of an image."""
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
    """Write type and score of every cell that a label image shows, numbered as it has them.

    Raises:
        OutputError: it cannot be written.
    """

    def rows() -> Iterator[tuple[str, str, str, str]]:
        for image_id, found in cells:
            counts = np.bincount(found.cell_type, minlength=len(found.type_names))
            yield image_id, "", found.type_names[int(counts.argmax())], ""
            for index, kind in enumerate(found.cell_type.tolist()):
                score = "" if found.score is None else str(found.score[index])
                yield image_id, str(index + 1), found.type_names[kind], score

    write_table(folder / FILE, ("id", "cell", "cell_type", "score"), rows())
