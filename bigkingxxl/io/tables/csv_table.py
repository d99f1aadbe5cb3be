"""Comma-separated tables, read with the line number of each row."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TextIO

from bigkingxxl.display_text import from_table_text, table_text
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.files import whole_file

_one_at_a_time = Lock()
LONGEST_FIELD = 2**31 - 1  # the annotation of a large cell exceeds csv's default of 131,072


@dataclass
class BadRows:
    """Handles bad rows of a file: the first one raises an error, unless they are skipped.

    Attributes:
        path: The file.
        skip: Whether to skip bad rows.
        messages: One sentence per skipped row.
    """

    path: Path
    skip: bool = False
    messages: list[str] = field(default_factory=list)

    def add(self, line: int, what: str) -> None:
        """Report a row; see `add_text`."""
        self.add_text(f"{self.path}, line {line}: {what}", line)

    def add_text(self, message: str, line: int | None = None) -> None:
        """Report a sentence.

        Raises:
            FormatError: Bad rows are not skipped.
        """
        if not self.skip:
            raise FormatError(message, file=self.path, line=line)
        self.messages.append(message)


@dataclass(frozen=True)
class CsvTable:
    """The columns of a table by name, as text, and the line of each row."""

    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)


def read_table(path: Path, needed: Sequence[str], bad: BadRows | None = None) -> CsvTable:
    """Read all rows of a CSV file with a header line.

    Args:
        path: The file.
        needed: The required columns.
        bad: Where rows with a wrong number of fields are reported; None raises an error.

    Raises:
        InputError: The file is missing or cannot be opened.
        FormatError: It is empty, not UTF-8, lacks a column or has it twice, or a row has a wrong
            number of fields.
    """
    bad = bad or BadRows(path)
    with _reading(path) as rows:
        try:
            header = [name.strip() for name in next(rows, ([], 0))[0]]
            _check_header(path, header, needed)
            kept, lines = [], []
            for values, line in rows:
                if len(values) == len(header):
                    kept.append([from_table_text(value) for value in values])
                    lines.append(line)
                elif values:
                    bad.add(line, f"{len(values)} fields, expected {len(header)} as in the header")
        except (UnicodeDecodeError, csv.Error) as error:
            raise FormatError(
                f"{path} is not a comma-separated text file ({error})", file=path, expected="CSV"
            ) from error
    columns = zip(*kept, strict=True) if kept else ([] for _ in header)
    return CsvTable({name: list(col) for name, col in zip(header, columns, strict=True)}, lines)


def stream_table(path: Path, needed: Sequence[str]) -> Iterator[list[str]]:
    """Yield the names of the columns of a CSV file, then its rows, one at a time.

    Raises:
        InputError: See `read_table`; raised when the row is requested.
        FormatError: See `read_table`; raised when the row is requested.
    """
    with _reading(path) as rows:
        try:
            header = [name.strip() for name in next(rows, ([], 0))[0]]
            _check_header(path, header, needed)
            yield header
            for values, line in rows:
                if len(values) == len(header):
                    yield [from_table_text(value) for value in values]
                elif values:
                    BadRows(path).add(
                        line, f"{len(values)} fields, expected {len(header)} as in the header"
                    )
        except (UnicodeDecodeError, csv.Error) as error:
            raise FormatError(
                f"{path} is not a comma-separated text file ({error})", file=path, expected="CSV"
            ) from error


@contextmanager
def _reading(path: Path) -> Iterator[Iterator[tuple[list[str], int]]]:
    if not path.is_file():
        raise InputError(f"there is no file {path}", file=path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            yield _rows(stream)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", file=path) from error


def _rows(stream: TextIO) -> Iterator[tuple[list[str], int]]:
    """Yield rows with the line of their end; fields may exceed the default limit.

    The limit of the csv module is process-wide, so it is changed only while a row is read.
    """
    reader = csv.reader(stream)
    while True:
        with _one_at_a_time:
            default = csv.field_size_limit(LONGEST_FIELD)
            try:
                values = next(reader, None)
            finally:
                csv.field_size_limit(default)
        if values is None:
            return
        yield values, reader.line_num


def _check_header(path: Path, header: Sequence[str], needed: Sequence[str]) -> None:
    if not header:
        raise FormatError(
            f"{path} is empty, expected a table with columns {', '.join(needed)}",
            file=path, expected=tuple(needed),
        )  # fmt: skip
    missing = [name for name in needed if name not in header]
    if missing:
        raise FormatError(
            f"{path} has no column '{missing[0]}' (found: {', '.join(header)}; "
            f"expected: {', '.join(needed)})",
            file=path, key=missing[0], found=tuple(header), expected=tuple(needed),
        )  # fmt: skip
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise FormatError(f"{path} names the column '{twice}' twice", file=path, key=twice)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file atomically with LF line endings, row by row.

    Text that a spreadsheet would run as a formula is escaped; `read_table` restores it.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        for row in itertools.chain([header], rows):
            writer.writerow([table_text(each) if isinstance(each, str) else each for each in row])
