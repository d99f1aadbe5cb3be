"""Merge the files of blocks into one file of the image by copying, without loading any of them."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from bigkingxxl.errors import FormatError, OutputError
from bigkingxxl.files import whole_file

BUFFER = 1 << 20
# Signatures and lengths of records in zip archives (PKWARE's APPNOTE).
END, END_64, LOCATOR_64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"
CENTRAL_LENGTH, END_LENGTH = 46, 22
MOST_ENTRIES, MOST_BYTES = 0xFFFF, 0xFFFFFFFF


def merge_tables(path: Path, parts: Sequence[Path]) -> None:
    """Merge CSV files with the same header.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("wb") as out:
        for number, part in enumerate(parts):
            with part.open("rb") as stream:
                header = stream.readline()
                if number == 0:
                    out.write(header)
                shutil.copyfileobj(stream, out, BUFFER)


def merge_geojson(path: Path, parts: Sequence[Path]) -> None:
    """Merge FeatureCollections with one feature per line, as `qupath.write_geojson` writes them.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("wb") as out:
        before = b""
        for part in parts:
            with part.open("rb") as stream:
                first = stream.readline()
                if not before:
                    out.write(first.rstrip(b"\n"))
                    before = b"\n"
                for line in stream:
                    if line != b"]}\n":
                        out.write(before + line.rstrip(b",\n"))
                        before = b",\n"
        out.write(b"\n]}\n")


def merge_archives(path: Path, parts: Sequence[Path]) -> None:
    """Merge zip archives as `zipfile` writes them, without unpacking or listing their entries.

    Raises:
        OutputError: It cannot be written, or would exceed 4 GiB.
    """
    entries = 0
    with whole_file(path) as temporary, temporary.open("wb") as out, TemporaryFile() as directory:
        for part in parts:
            with part.open("rb") as stream:
                count, size, start = _directory(part, stream)
                moved = out.tell()
                stream.seek(0)
                _copy(stream, out, start)
                if out.tell() > MOST_BYTES:
                    raise OutputError(
                        f"{path} is not written: it would be larger than 4 GiB, the limit of "
                        "ImageJ; use the format 'qupath' or 'labels'",
                        file=path,
                        key="format",
                        expected=("qupath", "labels"),
                    )
                _move(stream.read(size), moved, directory.write)
                entries += count
        begin, length = out.tell(), directory.tell()
        directory.seek(0)
        shutil.copyfileobj(directory, out, BUFFER)
        out.write(_end(entries, length, begin))


def _directory(path: Path, stream: IO[bytes]) -> tuple[int, int, int]:
    """Return the number of entries, the length and the start of an archive's central directory."""
    stream.seek(0, 2)
    length = stream.tell()
    stream.seek(max(length - END_LENGTH, 0))
    record = stream.read()
    if len(record) != END_LENGTH or record[:4] != END:
        raise FormatError(f"{path} is damaged, expected a zip archive", file=path)
    _, _, _, _, count, size, start, _ = struct.unpack("<4sHHHHIIH", record)
    return count, size, start


def _copy(stream: IO[bytes], out: IO[bytes], length: int) -> None:
    while length > 0:
        content = stream.read(min(BUFFER, length))
        out.write(content)
        length -= len(content)


def _move(directory: bytes, by: int, write: Callable[[bytes], Any]) -> None:
    """Write the entries of a central directory for files that were moved by a number of bytes."""
    for start, length in _records(directory):
        record = bytearray(directory[start : start + length])
        (offset,) = struct.unpack_from("<I", record, 42)
        struct.pack_into("<I", record, 42, offset + by)
        write(bytes(record))


def _records(directory: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(directory):
        name, extra, comment = struct.unpack_from("<HHH", directory, start + 28)
        length = CENTRAL_LENGTH + name + extra + comment
        yield start, length
        start += length


def _end(entries: int, length: int, start: int) -> bytes:
    """Return the end of an archive, in the ZIP64 form if there are very many entries."""
    large = b""
    if entries >= MOST_ENTRIES or start + length > MOST_BYTES:
        large = struct.pack("<4sQHHIIQQQQ", END_64, 44, 45, 45, 0, 0, entries, entries, length,
                            start)  # fmt: skip
        large += struct.pack("<4sIQI", LOCATOR_64, 0, start + length, 1)
    count = min(entries, MOST_ENTRIES)
    return large + struct.pack("<4sHHHHIIH", END, 0, 0, count, count, min(length, MOST_BYTES),
                               min(start, MOST_BYTES), 0)  # fmt: skip
