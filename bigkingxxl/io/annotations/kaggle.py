"""The Kaggle formats of the Sartorius challenge: `train.csv` and `submission.csv`.

A cell is a row-major run-length code: `5 3` means the pixels 5, 6 and 7 of the image, where the
first pixel is 1. Source: the data and evaluation pages of the challenge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.errors import FormatError
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.kaggle_numbers import numbers_of, read_numbers
from bigkingxxl.io.annotations.limits import LONGEST_SIDE, MOST_ROWS, check_claimed_size
from bigkingxxl.io.tables.csv_table import BadRows, CsvTable, read_table, write_table

Int64 = NDArray[np.int64]
Size = tuple[int, int]
ANNOTATION_COLUMNS = ("id", "annotation", "width", "height", "cell_type")
SUBMISSION_COLUMNS = ("id", "predicted")


@dataclass(frozen=True, eq=False)
class RunTexts:
    """Validated run-length texts of N cells.

    Attributes:
        numbers: int64[M], first pixel (from 1) and length alternately, cell after cell.
        bounds: int64[N + 1], where the numbers of each cell begin.
    """

    numbers: Int64
    bounds: Int64

    def instances(
        self,
        rows: Int64,
        size: Size,
        cell_type: NDArray[np.int16],
        type_names: tuple[str, ...],
    ) -> Instances:
        """Return the cells of some rows of one image of `size` (H, W); empty texts are left out.

        Raises:
            FormatError: They have more runs than the cells of an image can have.
        """
        rows_with_cells = np.diff(self.bounds)[rows] > 0
        numbers, counts = numbers_of(self.numbers, self.bounds, rows[rows_with_cells])
        owner = np.repeat(np.arange(len(counts)), counts // 2)
        covered = int((numbers[1::2] // size[1]).sum()) + len(owner)
        if covered > MOST_ROWS:
            raise FormatError(
                f"the cells of an image of {size[1]} x {size[0]} pixels (width x height) cover "
                f"{covered:,} rows of pixels, expected at most {MOST_ROWS:,}",
                key="annotation",
                found=covered,
                expected=MOST_ROWS,
            )
        runs, source = rle.rows_from_flat(numbers[0::2] - 1, numbers[1::2], size[1])
        return Instances.from_runs(
            runs, owner[source], len(counts), size,
            cell_type=cell_type[rows_with_cells], type_names=type_names,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class KaggleTable:
    """A parsed and validated `train.csv`.

    Attributes:
        path: The file.
        ids: The images in order of first appearance.
        type_names: The sorted cell types; ("cell",) if the column is empty.
        sizes: (H, W) of each image.
        lines: The first line that names each image.
        extra: Every further column (sample_id, plate_time ...), one value per image.
        skipped: One sentence per bad row that was skipped.
    """

    path: Path
    ids: tuple[str, ...]
    type_names: tuple[str, ...]
    sizes: dict[str, Size]
    lines: dict[str, int]
    extra: dict[str, dict[str, str]]
    skipped: list[str]
    texts: RunTexts = field(repr=False)
    rows: dict[str, Int64] = field(repr=False)
    cell_type: NDArray[np.int16] = field(repr=False)

    def instances(self, image_id: str) -> Instances:
        """Return the annotated cells of an image in the order of the file; they may overlap."""
        rows = self.rows[image_id]
        return self.texts.instances(
            rows, self.sizes[image_id], self.cell_type[rows], self.type_names
        )


def read_annotations(csv_path: Path, *, skip_bad: bool = False) -> KaggleTable:
    """Read a `train.csv` with id, annotation, width, height, cell_type and any further columns.

    A row with an empty annotation lists an image without adding a cell.

    Args:
        csv_path: The file.
        skip_bad: Skip bad rows and list them in `skipped`, instead of raising an error.

    Raises:
        InputError: The file does not exist.
        FormatError: A column is missing, or a row is bad (the message gives file and line): an odd
            number of values, a value that is not a positive integer, a run outside the image, a
            width or height that is not positive or differs within an image, an empty id or cell
            type.
    """
    path = Path(csv_path)
    bad = BadRows(path, skip_bad)
    table = read_table(path, ANNOTATION_COLUMNS, bad)
    columns = table.columns
    sizes, problems = _sizes(table)
    areas = np.array([height * width for height, width in sizes], np.int64)
    texts, run_problems = _checked_texts(columns["annotation"], areas)
    problems = {**run_problems, **_type_problems(columns), **problems}
    for row in sorted(problems):
        bad.add(table.lines[row], problems[row])
    good = np.ones(len(table), bool)
    good[list(problems)] = False
    kept = np.flatnonzero(good)
    if not len(kept):
        reason = f": {bad.messages[0]}" if bad.messages else ""
        raise FormatError(
            f"{path} contains no {'usable ' if problems else ''}rows below its header{reason}",
            file=path, found=len(problems), expected="rows",
        )  # fmt: skip
    return _table(path, table, sizes, texts, kept, bad.messages)


def _table(
    path: Path, table: CsvTable, sizes: list[Size], texts: RunTexts, kept: Int64, skipped: list[str]
) -> KaggleTable:
    rows = _by_image(table.columns["id"], kept)
    named = sorted({name for row in kept.tolist() if (name := table.columns["cell_type"][row])})
    index = {name: place for place, name in enumerate(named)}
    types = [index.get(name, 0) for name in table.columns["cell_type"]]
    first = {image_id: int(places[0]) for image_id, places in rows.items()}
    return KaggleTable(
        path=path,
        ids=tuple(rows),
        type_names=tuple(named) or (UNTYPED,),
        sizes={image_id: sizes[row] for image_id, row in first.items()},
        lines={image_id: table.lines[row] for image_id, row in first.items()},
        extra={
            name: {image_id: column[row] for image_id, row in first.items()}
            for name, column in table.columns.items()
            if name not in ANNOTATION_COLUMNS
        },
        skipped=skipped,
        texts=texts,
        rows=rows,
        cell_type=np.array(types, np.int16),
    )


def _by_image(ids: Sequence[str], kept: Int64) -> dict[str, Int64]:
    """Group rows by image, in order of first appearance."""
    places: dict[str, list[int]] = {}
    for row in kept.tolist():
        places.setdefault(ids[row], []).append(row)
    return {image_id: np.array(rows, np.int64) for image_id, rows in places.items()}


def _sizes(table: CsvTable) -> tuple[list[Size], dict[int, str]]:
    """Return (H, W) of every row, (0, 0) if it is bad, and the problems by row."""
    sizes: list[Size] = []
    problems: dict[int, str] = {}
    known: dict[str, Size] = {}
    read: dict[str, int] = {}
    columns = (table.columns[name] for name in ("id", "height", "width"))
    for row, (image_id, *texts) in enumerate(zip(*columns, strict=True)):
        for text in texts:
            if text not in read:
                read[text] = _side(text)
        size = read[texts[0]], read[texts[1]]
        sizes.append(size if min(size) > 0 else (0, 0))
        if not image_id:
            problems[row] = "a blank id"
        elif min(size) < 1:
            name, text = ("height", texts[0]) if size[0] < 1 else ("width", texts[1])
            problems[row] = (
                f"the {name} '{text}', expected a whole number from 1 to {LONGEST_SIDE:,}"
            )
        elif (problem := check_claimed_size(size)) is not None:
            sizes[-1] = (0, 0)
            problems[row] = f"image {image_id} is {texts[1]} x {texts[0]}, {problem}"
        elif known.setdefault(image_id, size) != size:
            problems[row] = (
                f"image {image_id} is {texts[1]} x {texts[0]} here and "
                f"{known[image_id][1]} x {known[image_id][0]} (width x height) on an earlier line"
            )
    return sizes, problems


def _side(text: str) -> int:
    """Parse a width or height; 0 if it is invalid."""
    try:
        side = int(text)
    except ValueError:
        return 0
    return side if 0 < side <= LONGEST_SIDE else 0


def _type_problems(columns: Mapping[str, Sequence[str]]) -> dict[int, str]:
    """Return the rows without a cell type, if other rows have one."""
    names, annotations = columns["cell_type"], columns["annotation"]
    if not any(names):
        return {}
    blank = (row for row, name in enumerate(names) if not name and annotations[row].strip())
    return dict.fromkeys(blank, "a blank cell_type, expected a name as on other lines")


def _checked_texts(texts: Sequence[str], areas: Int64) -> tuple[RunTexts, dict[int, str]]:
    """Parse all run-length texts at once; return the problems by row, too.

    Args:
        texts: The run-length texts.
        areas: int64[N], H x W of each text's image.
    """
    texts = list(texts)
    numbers, bounds, plain = read_numbers(texts)
    counts = np.diff(bounds)
    suspect = ~plain | (counts % 2 == 1)
    even = np.flatnonzero(~suspect)
    pairs, pair_counts = numbers_of(numbers, bounds, even)
    start, length = pairs[0::2], pairs[1::2]
    owner = np.repeat(even, pair_counts // 2)
    wrong = (start < 1) | (length < 1) | (length > areas[owner] - start + 1)
    suspect[owner[wrong]] = True
    problems: dict[int, str] = {}
    for row in np.flatnonzero(suspect).tolist():
        try:
            checked = _pairs_inside(texts[row], int(areas[row]))
            texts[row] = " ".join(map(str, checked.ravel().tolist()))
        except ValueError as error:
            problems[row], texts[row] = str(error), ""
    if suspect.any():
        numbers, bounds, _ = read_numbers(texts)
    return RunTexts(numbers, bounds), problems


def _pairs_inside(text: str, area: int) -> Int64:
    """Parse the runs of one text, int64[R, 2].

    Raises:
        ValueError: The text is invalid; the message says why.
    """
    pairs = rle.kaggle_pairs(text)
    outside = pairs[pairs[:, 1] > area - pairs[:, 0] + 1]
    if len(outside):
        start, length = outside[0].tolist()
        raise ValueError(f"the run '{start} {length}' is outside the image of {area} pixels")
    return pairs


def read_submission(
    csv_path: Path, sizes: Mapping[str, Size], *, skip_unknown: bool = False
) -> dict[str, Instances]:
    """Read a `submission.csv`: one row per predicted cell, or one empty row for an image without.

    Args:
        csv_path: The file.
        sizes: (H, W) of every image that may occur, under its id or its file name.
        skip_unknown: Skip rows of other images, instead of raising an error.

    Raises:
        InputError: The file does not exist.
        FormatError: A column is missing, an image is not in `sizes`, or a row is bad; see
            `read_annotations`.
    """
    path = Path(csv_path)
    bad = BadRows(path)
    table = read_table(path, SUBMISSION_COLUMNS, bad)
    named = {name: _meant(name, sizes) for name in set(table.columns["id"])}
    ids = [named[name] for name in table.columns["id"]]
    known = np.array([image_id in sizes for image_id in ids], bool)
    for row, image_id in enumerate(ids):
        if not known[row] and not skip_unknown:
            bad.add(
                table.lines[row],
                f"image '{image_id}' is not one of the {len(sizes)} expected, such as "
                f"'{next(iter(sizes), '')}'",
            )
    sides = [sizes.get(image_id, (0, 0)) for image_id in ids]
    areas = np.array([height * width for height, width in sides], np.int64)
    written = zip(table.columns["predicted"], known.tolist(), strict=True)
    texts, problems = _checked_texts([text if kept else "" for text, kept in written], areas)
    for row in sorted(problems):
        bad.add(table.lines[row], problems[row])
    types = np.zeros(len(table), np.int16)
    return {
        image_id: texts.instances(rows, sizes[image_id], types[rows], (UNTYPED,))
        for image_id, rows in _by_image(ids, np.flatnonzero(known)).items()
    }


def _meant(name: str, sizes: Mapping[str, Size]) -> str:
    """Return the image that a name refers to: an id, or a file name, with or without folders."""
    within = PurePosixPath(name.replace("\\", "/"))
    short = (str(within.with_suffix("")), within.stem) if within.name else ()
    return next((each for each in (name, *short) if each in sizes), name)


def write_submission(path: Path, instances_by_id: Mapping[str, Instances]) -> None:
    """Write a `submission.csv` with one row per cell; an image without cells gets an empty row.

    Raises:
        FormatError: Two cells of an image share a pixel, which the challenge refuses.
        OutputError: The file cannot be written.
    """
    for image_id, instances in instances_by_id.items():
        _check_disjoint(path, image_id, instances)

    def rows() -> Iterator[tuple[str, str]]:
        for image_id, instances in instances_by_id.items():
            texts = [text for text in instances.kaggle_strings() if text]
            yield from ((image_id, text) for text in texts or [""])

    write_table(path, SUBMISSION_COLUMNS, rows())


def _check_disjoint(path: Path, image_id: str, instances: Instances) -> None:
    order = np.lexsort((instances.runs[:, 1], instances.runs[:, 0]))
    row, start, stop = instances.runs[order].astype(np.int64).T
    stride = instances.size[1] + 1
    reach = np.maximum.accumulate(row * stride + stop)
    clash = np.flatnonzero(row[1:] * stride + start[1:] < reach[:-1])
    if len(clash):
        place = clash[0] + 1
        raise FormatError(
            f"{path} is not written: cells of image {image_id} overlap at row {row[place]}, "
            f"column {start[place]}, and a submission's cells must not",
            file=path, key=image_id, found=(int(row[place]), int(start[place])),
        )  # fmt: skip


def write_annotations(path: Path, instances_by_id: Mapping[str, Instances]) -> None:
    """Write a `train.csv` with one row per cell; an image without cells gets an empty annotation.

    Raises:
        OutputError: The file cannot be written.
    """

    def rows() -> Iterator[tuple[str, str, int, int, str]]:
        for image_id, instances in instances_by_id.items():
            height, width = instances.size
            names = [instances.type_names[kind] for kind in instances.cell_type.tolist()]
            cells = list(zip(instances.kaggle_strings(), names, strict=True))
            for text, name in [cell for cell in cells if cell[0]] or [("", "")]:
                yield image_id, text, width, height, name

    write_table(path, ANNOTATION_COLUMNS, rows())
