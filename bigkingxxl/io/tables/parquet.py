"""Write tables as Apache Parquet files, which pandas, R, DuckDB, Polars and others read.

It supports flat tables only: columns of text, integers and floats, one page per column, gzip. Any
library that writes Parquet would be larger than the rest of the base installation
(pyarrow: 171 MB).

Source: the Parquet format's `parquet.thrift`, in Thrift's compact protocol.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from bigkingxxl.files import whole_file

Table = Mapping[str, NDArray[Any]]
Value = tuple[int, bytes]  # Thrift's type code and the encoded value

MAGIC = b"PAR1"
INT32, INT64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
PHYSICAL_TYPES = {"i": 2, "f": 5, "U": 6}  # INT64, DOUBLE, BYTE_ARRAY, by numpy's kind
PLAIN, RLE = 0, 3
GZIP = 2
UTF8 = 0
REQUIRED = 0


def write_parquet(path: Path, tables: Iterable[Table], kinds: Mapping[str, str]) -> None:
    """Write tables with the same columns as one, atomically and reproducibly.

    Args:
        path: The file.
        tables: Columns of equal length by name; each table becomes a row group.
        kinds: "U" (text), "i" (int64) or "f" (float64) for every column, in order.

    Raises:
        OutputError: The file cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        stream.write(MAGIC)
        groups, rows = [], 0
        for table in tables:
            count = len(next(iter(table.values()), ()))
            rows += count
            if count:
                groups.append(_row_group(stream, table, kinds))
        footer = _encoded({
            1: _int32(1),
            2: _list([_schema_root(kinds), *_schema(kinds)]),
            3: _int64(rows),
            4: _list(groups),
            6: _text("bigkingxxl"),
        })  # fmt: skip
        stream.write(footer + len(footer).to_bytes(4, "little") + MAGIC)


def _row_group(stream: BinaryIO, table: Table, kinds: Mapping[str, str]) -> Value:
    columns, total = [], 0
    for name, kind in kinds.items():
        offset, count = stream.tell(), len(table[name])
        plain = _plain(table[name], kind)
        packed = gzip.compress(plain, 6, mtime=0)
        page = {1: _int32(PLAIN), 2: _int32(len(plain)), 3: _int32(len(packed)), 5: _struct({
            1: _int32(count), 2: _int32(PLAIN), 3: _int32(RLE), 4: _int32(RLE),
        })}  # fmt: skip
        header = _encoded(page)
        stream.write(header + packed)
        size = len(header) + len(plain)
        total += size
        columns.append(_struct({2: _int64(offset), 3: _struct({
            1: _int32(PHYSICAL_TYPES[kind]),
            2: _list([_int32(PLAIN)]),
            3: _list([_text(name)]),
            4: _int32(GZIP),
            5: _int64(count),
            6: _int64(size),
            7: _int64(len(header) + len(packed)),
            9: _int64(offset),
        })}))  # fmt: skip
    return _struct({1: _list(columns), 2: _int64(total), 3: _int64(count)})


def _plain(column: NDArray[Any], kind: str) -> bytes:
    """Encode values one after the other; texts are preceded by their length."""
    if kind == "U":
        texts = (str(value).encode("utf-8", "backslashreplace") for value in column)
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return column.astype("<i8" if kind == "i" else "<f8").tobytes()


def _schema_root(kinds: Mapping[str, str]) -> Value:
    return _struct({4: _text("schema"), 5: _int32(len(kinds))})


def _schema(kinds: Mapping[str, str]) -> Iterator[Value]:
    for name, kind in kinds.items():
        fields = {1: _int32(PHYSICAL_TYPES[kind]), 3: _int32(REQUIRED), 4: _text(name)}
        yield _struct(fields | ({6: _int32(UTF8)} if kind == "U" else {}))


def _varint(number: int) -> bytes:
    """Encode an integer with seven bits per byte, the low ones first."""
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def _int32(number: int) -> Value:
    return INT32, _varint(2 * number)


def _int64(number: int) -> Value:
    return INT64, _varint(2 * number)


def _text(text: str) -> Value:
    raw = text.encode()
    return BINARY, _varint(len(raw)) + raw


def _list(items: list[Value]) -> Value:
    kind = items[0][0] if items else STRUCT
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else (
        bytes([0xF0 | kind]) + _varint(len(items)))  # fmt: skip
    return LIST, head + b"".join(value for _, value in items)


def _struct(fields: Mapping[int, Value]) -> Value:
    return STRUCT, _encoded(fields)


def _encoded(fields: Mapping[int, Value]) -> bytes:
    """Encode fields in ascending order, each with the difference from the previous one."""
    result, last = b"", 0
    for number, (kind, value) in fields.items():
        result += bytes([(number - last) << 4 | kind]) + value
        last = number
    return result + b"\0"
