"""Kaggle's csv files, read and written, compared with a naive decoder and hand-written files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl.errors import FormatError, InputError, OutputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import (
    read_annotations,
    read_submission,
    write_annotations,
    write_submission,
)
from tests.refusals import check
from tests.support import Stack, instances_of, naive_kaggle, stack_of, stacks

HEADER = "id,annotation,width,height,cell_type"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def table_of(path: Path, *rows: str, header: str = HEADER) -> Path:
    return write(path / "train.csv", header, *rows)


def naive_decode(text: str, size: tuple[int, int]) -> np.ndarray:
    """The mask of one annotation, pixel by pixel, as the challenge's page describes it."""
    mask = np.zeros(size[0] * size[1], bool)
    numbers = [int(word) for word in text.split()]
    for start, length in zip(numbers[0::2], numbers[1::2], strict=True):
        for pixel in range(start, start + length):
            mask[pixel - 1] = True
    return mask.reshape(size)


# ---- reading annotations -----------------------------------------------------------------------


def test_5_3_is_pixels_5_6_7_and_nothing_else(tmp_path: Path) -> None:
    table = read_annotations(table_of(tmp_path, "a,5 3,10,2,cort"))
    mask = table.instances("a").mask(0)
    assert (np.flatnonzero(mask.ravel()) + 1).tolist() == [5, 6, 7]
    assert mask.shape == (2, 10)


def test_a_table_of_two_images(tmp_path: Path) -> None:
    path = table_of(
        tmp_path,
        "b,1 2 9 1,4,3,cort",
        "a,2 1,5,6,astro",
        "b,3 1,4,3,astro",
    )
    table = read_annotations(path)
    assert table.ids == ("b", "a")
    assert table.type_names == ("astro", "cort")
    assert table.sizes == {"b": (3, 4), "a": (6, 5)}
    assert table.skipped == []
    b = table.instances("b")
    assert [b.type_names[kind] for kind in b.cell_type] == ["cort", "astro"]
    assert b.areas().tolist() == [3, 1]
    assert b.size == (3, 4)


@given(stack=stacks())
def test_annotations_read_as_a_naive_decoder_reads_them(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    height, width = stack.shape[1:]
    texts = [naive_kaggle(mask) for mask in stack if mask.any()]
    if not texts:
        return
    folder = tmp_path_factory.mktemp("table")
    rows = [f"x,{text},{width},{height},cell" for text in texts]
    read = stack_of(read_annotations(table_of(folder, *rows)).instances("x"))
    assert np.array_equal(read, [naive_decode(text, (height, width)) for text in texts])


def test_any_blank_and_a_plus_sign_separate_numbers(tmp_path: Path) -> None:
    table = read_annotations(table_of(tmp_path, 'a,"  1 2\t5 +1 ",3,2,t'))
    assert np.flatnonzero(table.instances("a").mask(0)).tolist() == [0, 1, 4]


def test_a_cell_of_more_than_131072_characters(tmp_path: Path) -> None:
    text = " ".join(f"{pixel} 1" for pixel in range(1, 60_000, 2))
    assert len(text) > 131_072
    table = read_annotations(table_of(tmp_path, f"a,{text},300,200,t"))
    assert table.instances("a").areas().tolist() == [30_000]
    assert csv.field_size_limit() == 131_072


def test_further_columns_by_image(tmp_path: Path) -> None:
    path = table_of(
        tmp_path,
        "a,1 1,4,3,cort,11h30m00s,2020-10-18,cort[16h]_1,0 days 11:30:00",
        "b,1 1,4,3,cort,19h30m00s,2020-11-01,cort[16h]_2,0 days 19:30:00",
        header=f"{HEADER},plate_time,sample_date,sample_id,elapsed_timedelta",
    )
    extra = read_annotations(path).extra
    assert list(extra) == ["plate_time", "sample_date", "sample_id", "elapsed_timedelta"]
    assert extra["sample_id"] == {"a": "cort[16h]_1", "b": "cort[16h]_2"}
    assert read_annotations(table_of(tmp_path, "a,1 1,4,3,cort")).extra == {}


def test_without_types_the_type_is_cell(tmp_path: Path) -> None:
    table = read_annotations(table_of(tmp_path, "a,1 1,4,3,", "a,2 1,4,3,"))
    assert table.type_names == ("cell",)
    assert table.instances("a").cell_type.tolist() == [0, 0]


def test_a_blank_annotation_lists_an_image_without_cells(tmp_path: Path) -> None:
    table = read_annotations(table_of(tmp_path, "a,,4,3,", "b,1 1,4,3,cort"))
    assert table.ids == ("a", "b")
    assert len(table.instances("a")) == 0
    assert table.type_names == ("cort",)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("a,1 2 3,4,3,t", "(3)"),
        ("a,1 x,4,3,t", "'x'"),
        ("a,1 2.5,4,3,t", "'2.5'"),
        ("a,1 \u0662\u00b2,4,3,t", ""),
        ("a,-1 2,4,3,t", "-1"),
        ("a,0 2,4,3,t", "0"),
        ("a,1 0,4,3,t", "0"),
        ("a,1 99999999999999999999,4,3,t", ""),
        ("a,12 2,4,3,t", "'12 2'"),
        ("a,13 1,4,3,t", "'13 1'"),
        ("a,1 999999999999999999,4,3,t", ""),
        ("a,1 1,0,3,t", "'0'"),
        ("a,1 1,4,-3,t", "'-3'"),
        ("a,1 1,4,,t", "''"),
        ("a,1 1,4.0,3,t", "'4.0'"),
        ("a,1 1,4,99999999999,t", "'99999999999'"),
        (",1 1,4,3,t", ""),
        ("a,1 1,4,3,", "cell_type"),
        ("good,1 1,5,3,t", "5 x 3"),
        ("a,1 1,4,3", "4"),
        ("a,1 1,4,3,t,more", "6"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line_or_skipped(
    tmp_path: Path, row: str, named: str
) -> None:
    path = table_of(tmp_path, "good,1 1,4,3,t", row, "good,2 1,4,3,t")
    with pytest.raises(FormatError) as error:
        read_annotations(path)
    assert (error.value.file, error.value.line) == (path, 3)
    assert str(error.value).startswith(f"{path}, line 3: ")
    check(error.value, named, file=path)
    table = read_annotations(path, skip_bad=True)
    assert table.ids == ("good",)
    assert len(table.instances("good")) == 2
    assert table.skipped == [str(error.value)]


@pytest.mark.parametrize("column", HEADER.split(","))
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    header = HEADER.replace(column, "other")
    path = table_of(tmp_path, "a,1 1,4,3,t", header=header)
    with pytest.raises(FormatError) as error:
        read_annotations(path)
    assert (error.value.file, error.value.key) == (path, column)
    assert error.value.found == tuple(header.split(","))


@pytest.mark.parametrize(
    ("content", "line", "key", "expected"),
    [
        (b"", None, None, tuple(HEADER.split(","))),
        (HEADER.encode(), None, None, "rows"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", None, None, "CSV"),
        (f"{HEADER},id\na,1 1,4,3,t,b\n".encode(), None, "id", None),
        (f"{HEADER}\na,1 1,4,3,t\na,x,4,3,t".encode(), 3, None, None),
    ],
)
def test_a_file_that_is_no_table(
    tmp_path: Path, content: bytes, line: int | None, key: str | None, expected: object
) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    with pytest.raises(FormatError) as error:
        read_annotations(path)
    assert error.value.file == path
    assert (error.value.line, error.value.key) == (line, key)
    assert error.value.expected == expected


def test_all_rows_bad_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as error:
        read_annotations(table_of(tmp_path, "a,1,4,3,t"), skip_bad=True)
    assert (error.value.found, error.value.expected) == (1, "rows")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_annotations(tmp_path / "train.csv")
    assert error.value.file == tmp_path / "train.csv"


def test_excel_begins_files_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\na,1 1,4,3,t\r\n".encode())
    assert read_annotations(path).ids == ("a",)


# ---- writing and reading back ------------------------------------------------------------------


@given(stack=stacks(), kinds=st.lists(st.integers(0, 1), min_size=4, max_size=4))
def test_annotations_written_are_annotations_read(
    stack: Stack, kinds: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    cells = instances_of(stack, cell_type=np.array(kinds[: len(stack)]), type_names=("a", "b"))
    marker = instances_of(
        np.ones((2, 1, 1), bool), cell_type=np.array([0, 1]), type_names=("a", "b")
    )
    path = tmp_path_factory.mktemp("written") / "train.csv"
    write_annotations(path, {"x": cells, "both": marker})
    table = read_annotations(path)
    read = table.instances("x")
    some = stack.any(axis=(1, 2))
    assert table.ids == ("x", "both")
    assert read.size == cells.size
    assert np.array_equal(stack_of(read), stack[some])
    assert np.array_equal(read.cell_type, cells.cell_type[some])


@given(stack=stacks())
def test_submissions_written_are_submissions_read(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cells = instances_of(stack).disjoint()
    path = tmp_path_factory.mktemp("written") / "submission.csv"
    write_submission(path, {"x": cells})
    read = read_submission(path, {"x": cells.size, "other": (3, 3)})
    assert list(read) == ["x"]
    some = cells.areas() > 0
    assert np.array_equal(stack_of(read["x"]), stack_of(cells)[some])


def test_a_submission_as_the_challenge_wants_it(tmp_path: Path) -> None:
    labels = np.array([[1, 1, 0, 2], [1, 0, 0, 2], [2, 2, 0, 0]])
    path = tmp_path / "submission.csv"
    write_submission(
        path, {"one": Instances.from_label_map(labels), "none": Instances.empty((3, 4))}
    )
    # A run that continues over the end of a row is one run: pixels 8, 9 and 10.
    assert path.read_bytes() == b"id,predicted\none,1 2 5 1\none,4 1 8 3\nnone,\n"


def test_cells_that_overlap_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    stack = np.zeros((2, 3, 4), bool)
    stack[0, 1, 0:3] = stack[1, 1, 2:4] = True
    path = tmp_path / "submission.csv"
    with pytest.raises(FormatError) as error:
        write_submission(path, {"x": instances_of(stack)})
    assert (error.value.file, error.value.key, error.value.found) == (path, "x", (1, 2))
    assert list(tmp_path.iterdir()) == []


@given(stack=stacks())
def test_a_submission_is_refused_if_and_only_if_pixels_are_shared(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("written") / "submission.csv"
    overlaps = bool((stack.sum(axis=0) > 1).any())
    try:
        write_submission(path, {"x": instances_of(stack)})
        assert not overlaps
    except FormatError:
        assert overlaps


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (["y,1 1"], "'y'"),
        (["x,1 1", "x,1 2 3"], "3"),
        (["x,12 2"], "'12 2'"),
        (["x,1 -1"], "-1"),
        (["x"], "1"),
    ],
)
def test_a_bad_submission(tmp_path: Path, rows: list[str], named: str) -> None:
    path = write(tmp_path / "submission.csv", "id,predicted", *rows)
    with pytest.raises(FormatError) as error:
        read_submission(path, {"x": (3, 4)})
    check(error.value, named, file=path)
    assert str(path) in str(error.value)


def test_a_submission_of_another_layout(tmp_path: Path) -> None:
    path = write(tmp_path / "submission.csv", "id,annotation", "x,1 1")
    with pytest.raises(FormatError) as error:
        read_submission(path, {"x": (3, 4)})
    assert (error.value.file, error.value.key) == (path, "predicted")


def test_an_output_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_submission(tmp_path / "file" / "submission.csv", {"x": Instances.empty((3, 4))})


# ---- real data ---------------------------------------------------------------------------------


def test_the_real_table(sartorius: Path) -> None:
    table = read_annotations(sartorius / "train.csv")
    counts = {image_id: len(table.instances(image_id)) for image_id in table.ids}
    with (sartorius / "train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sum(counts.values()) == len(rows)
    assert table.type_names == tuple(sorted({row["cell_type"] for row in rows}))
    for image_id in table.ids[:3]:
        cells = table.instances(image_id)
        texts = [row["annotation"] for row in rows if row["id"] == image_id]
        masks = np.array([naive_decode(text, cells.size) for text in texts])
        assert np.array_equal(stack_of(cells), masks)
