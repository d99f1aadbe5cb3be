"""Displayed names: no terminal obeys them, and no spreadsheet program computes them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl.display_text import (
    counted,
    from_table_text,
    make_printing_safe,
    printable,
    table_text,
)
from bigkingxxl.io.tables.csv_table import read_table, write_table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b.tif", "a b.tif"), ("été 細胞", "été 細胞"), ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"), ("\x9b1m", "\\x9b1m"), ("\udc9b", "\\x9b"),
        ("\udcff", "\udcff"), ("\u202egpj", "\\u202egpj"), ("\x7f", "\\x7f"),
    ],
)  # fmt: skip
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("utf-8", "µ 細胞 \udcff", "µ 細胞 ".encode() + b"\xff"),
        ("cp1252", "µ 細 \udcff", b"\xb5 \\u7d30 \xff"),  # Windows, into a file
        ("ascii", "µ\udcffx", b"\\xb5\xffx"),
    ],
)
def test_every_text_can_be_printed_in_every_encoding(
    encoding: str, text: str, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    make_printing_safe()
    print(text, end="", flush=True)
    assert stream.buffer.getvalue() == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+2", "'=1+2"), ("@a", "'@a"), ("-a", "'-a"), ("+a", "'+a"), ("\ta", "'\ta"),
        ("-1.5", "-1.5"), ("+1e3", "+1e3"), ("-inf", "-inf"), ("a=1", "a=1"), ("", ""),
        ("'=1", "''=1"), ("'a", "'a"),
    ],
)  # fmt: skip
def test_no_name_is_a_formula(text: str, written: str) -> None:
    assert table_text(text) == written


@given(st.text(max_size=6) | st.text(st.sampled_from("'=+-@a1"), max_size=5))
def test_reading_restores_the_written_text(text: str) -> None:
    assert from_table_text(table_text(text)) == text


def test_tables_hold_names_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    rows = [("=cmd|' /C calc'!A0", -1.5, "-2"), ("caf\udce9", 0, "x")]
    write_table(path, ("name", "number", "text"), rows)
    with path.open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream))[1:] == [
            ["'=cmd|' /C calc'!A0", "-1.5", "-2"], ["caf\\xe9", "0", "x"],
        ]  # fmt: skip
    assert read_table(path, ["name"]).columns["name"][0] == "=cmd|' /C calc'!A0"


def test_one_is_singular() -> None:
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(2000, "image", "is", "are") == "2,000 images are"
    assert counted(1, "image", "is", "are") == "1 image is"
