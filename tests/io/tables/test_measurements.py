"""Measurements computed by hand, and their tables as the csv module and pyarrow read them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl.errors import FormatError, InputError, OutputError
from bigkingxxl.images import ArrayImage
from bigkingxxl.instances import Instances
from bigkingxxl.io.tables import measurements
from bigkingxxl.io.tables.measurements import (
    Table,
    join_measurements,
    measure,
    write_measurements,
)
from tests.refusals import refused
from tests.support import Stack, instances_of, stacks

SIZE = (40, 60)
COLUMNS = [
    "id", "type", "score", "area", "perimeter", "eccentricity", "solidity", "intensity_mean",
    "intensity_std", "intensity_min", "intensity_max", "intensity_median", "centroid_row",
    "centroid_col", "area_um2", "perimeter_um", "centroid_row_um", "centroid_col_um",
]  # fmt: skip


def ramp(pixel_size: tuple[float, float] | None = None) -> ArrayImage:
    """1000 x row + column."""
    return ArrayImage(np.add.outer(np.arange(40) * 1000.0, np.arange(60)), "ramp", pixel_size)


def rectangle(**fields: Any) -> Instances:
    """Rows 5 to 10, columns 20 to 29."""
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 5:11, 20:30] = True
    return instances_of(mask, **fields)


def disc(radius: float) -> Instances:
    row, col = np.mgrid[:101, :101] - 50
    return instances_of((row**2 + col**2 <= radius**2)[None])


def in_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def in_parquet(path: Path) -> Any:
    """The file as pyarrow reads it."""
    return pytest.importorskip(
        "pyarrow.parquet", reason="pyarrow is not installed (extra dev)"
    ).read_table(path)


def test_a_rectangle_by_hand() -> None:
    score = np.array([0.75], np.float32)
    cells = rectangle(score=score, cell_type=np.array([1]), type_names=("a", "b"))
    table = measure(ramp((0.5, 0.25)), cells)
    assert list(table) == COLUMNS
    assert {name: column[0] for name, column in table.items()} == pytest.approx({
        "id": 1, "type": "b", "score": 0.75, "area": 60,
        "perimeter": 2 * 5 + 2 * 9,  # through the centres of the border's pixels
        "eccentricity": np.sqrt(1 - (6**2 - 1) / (10**2 - 1)),
        "solidity": 1,
        "intensity_mean": 7524.5, "intensity_min": 5020, "intensity_max": 10029,
        "intensity_median": 7524.5,
        "intensity_std": np.sqrt(1000**2 * (6**2 - 1) / 12 + (10**2 - 1) / 12),
        "centroid_row": 7.5, "centroid_col": 24.5,
        "area_um2": 60 * 0.5 * 0.25, "perimeter_um": 28 * np.sqrt(0.5 * 0.25),
        "centroid_row_um": 7.5 * 0.5, "centroid_col_um": 24.5 * 0.25,
    })  # fmt: skip


def test_a_disc() -> None:
    table = measure(ArrayImage(np.ones((101, 101)), pixel_size_um=(2.0, 2.0)), disc(40))
    assert table["area"][0] == pytest.approx(np.pi * 40**2, rel=0.01)
    assert table["perimeter"][0] == pytest.approx(2 * np.pi * 40, rel=0.05)
    assert table["eccentricity"][0] < 0.01
    assert table["solidity"][0] > 0.98
    assert table["area_um2"][0] == 4 * table["area"][0]
    assert table["perimeter_um"][0] == 2 * table["perimeter"][0]
    assert (table["centroid_row"][0], table["centroid_col_um"][0]) == (50, 100)
    assert table["intensity_std"][0] == 0


@given(stack=stacks())
def test_intensities_are_those_under_each_mask(stack: Stack) -> None:
    pixels = np.random.default_rng(stack.size).normal(0, 100, stack.shape[1:]).astype(np.float32)
    table = measure(ArrayImage(pixels), instances_of(stack))
    for index, mask in enumerate(stack):
        found = [table[f"intensity_{name}"][index] for name in ("mean", "std", "min", "max",
                                                                "median")]  # fmt: skip
        if not mask.any():
            assert table["area"][index] == 0
            assert np.isnan(found).all()
            continue
        values = pixels[mask].astype(np.float64)
        expected = [values.mean(), values.std(), values.min(), values.max(), np.median(values)]
        assert found == pytest.approx(expected)


def test_unknown_values_are_nan() -> None:
    table = measure(ramp(), rectangle())
    unknown = ["score", *(name for name in COLUMNS if "um" in name.split("_")[-1])]
    assert {name for name in COLUMNS if table[name][0] != table[name][0]} == set(unknown)


def test_the_pixel_size_of_the_cells_counts_where_the_image_has_none() -> None:
    assert measure(ramp(), rectangle(pixel_size_um=(2.0, 3.0)))["area_um2"][0] == 360


def test_channels_have_intensities_of_their_own() -> None:
    pixels = np.stack((np.full(SIZE, 7), np.full(SIZE, 9)))
    table = measure(ArrayImage(pixels), rectangle())
    assert (table["intensity_mean_0"][0], table["intensity_median_1"][0]) == (7, 9)
    assert "intensity_mean" not in table


def test_a_large_image_is_read_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(0).integers(0, 4, SIZE)
    cells = Instances.from_label_map(labels)
    once = measure(ramp(), cells)
    monkeypatch.setattr(measurements, "BAND_PIXELS", 60 * 7)
    for name, column in measure(ramp(), cells).items():
        assert np.array_equal(column, once[name], equal_nan=column.dtype.kind == "f"), name


def test_a_pixel_that_is_not_a_number_does_not_spoil_a_cell() -> None:
    pixels = np.full(SIZE, 5.0)
    pixels[7, 22] = np.nan
    assert measure(ArrayImage(pixels), rectangle())["intensity_max"][0] == 5


def test_cells_of_another_image() -> None:
    with pytest.raises(ValueError, match="in an image of"):
        measure(ramp(), Instances.empty((60, 40)))


def seven_hundred() -> Table:
    labels = np.arange(2800).reshape(28, 100) // 4 + 1
    kinds = np.arange(700) % 2
    cells = Instances.from_label_map(
        labels, cell_type=kinds, type_names=("astro, old", "µ"),
        score=np.linspace(0, 1, 700, dtype=np.float32), pixel_size_um=(0.3, 0.3),
    )  # fmt: skip
    return measure(ArrayImage(labels, "x"), cells)


def test_more_than_255_cells_in_csv(tmp_path: Path) -> None:
    table = seven_hundred()
    write_measurements(tmp_path / "x.csv", table)
    rows = in_csv(tmp_path / "x.csv")
    assert [int(row["id"]) for row in rows] == list(range(1, 701))
    assert [row["type"] for row in rows[:2]] == ["astro, old", "µ"]
    for name in COLUMNS[2:]:
        assert [float(row[name]) for row in rows] == pytest.approx(table[name].tolist(), rel=1e-6)


def test_more_than_255_cells_in_parquet(tmp_path: Path) -> None:
    table = seven_hundred()
    write_measurements(tmp_path / "x.parquet", table)
    read = in_parquet(tmp_path / "x.parquet")
    assert read.column_names == COLUMNS
    assert {str(field.type) for field in read.schema} == {"int64", "string", "double"}
    for name in COLUMNS:
        assert read[name].to_pylist() == table[name].tolist()


def test_an_image_without_cells(tmp_path: Path) -> None:
    table = measure(ramp(), Instances.empty(SIZE))
    assert all(len(column) == 0 for column in table.values())
    write_measurements(tmp_path / "x.csv", table)
    assert (tmp_path / "x.csv").read_text().strip() == ",".join(COLUMNS)
    write_measurements(tmp_path / "x.parquet", table)
    read = in_parquet(tmp_path / "x.parquet")
    assert (read.column_names, read.num_rows) == (COLUMNS, 0)


def test_csv_holds_the_measured_values(tmp_path: Path) -> None:
    table = measure(ramp(), rectangle())
    write_measurements(tmp_path / "x.csv", table)
    rows = in_csv(tmp_path / "x.csv")
    assert rows[0]["score"] == ""
    for name, column in table.items():
        texts = [row[name] for row in rows]
        if column.dtype.kind == "f":
            values = [float(text or "nan") for text in texts]
            assert values == pytest.approx(column, rel=1e-6, nan_ok=True)
        else:
            assert texts == [str(value) for value in column]


def three_parts(folder: Path) -> dict[str, Path]:
    """Two images with cells, the second of two channels, and one without."""
    images = {
        "first": (ramp((0.5, 0.5)), rectangle()),
        "two, more": (ArrayImage(np.ones((2, *SIZE))), instances_of(np.ones((3, *SIZE), bool))),
        "none": (ramp(), Instances.empty(SIZE)),
    }
    parts = {}
    for name, (source, cells) in images.items():
        parts[name] = folder / f"{name}.csv"
        write_measurements(parts[name], measure(source, cells))
    return parts


def joined(folder: Path, parts: dict[str, Path]) -> None:
    columns = dict.fromkeys(name for path in parts.values()
                            for name in path.read_text().splitlines()[0].split(","))  # fmt: skip
    places = folder / "measurements.csv", folder / "measurements.parquet"
    join_measurements(*places, parts, list(columns))


def test_a_part_with_an_unknown_column_is_refused(tmp_path: Path) -> None:
    parts = three_parts(tmp_path)
    places = tmp_path / "measurements.csv", tmp_path / "measurements.parquet"
    with pytest.raises(FormatError, match="intensity_mean_0"):
        join_measurements(*places, parts, COLUMNS)
    assert not places[0].exists()


def test_all_images_in_one_csv(tmp_path: Path) -> None:
    joined(tmp_path, three_parts(tmp_path))
    rows = in_csv(tmp_path / "measurements.csv")
    assert [(row["image"], row["id"]) for row in rows] == [
        ("first", "1"), ("two, more", "1"), ("two, more", "2"), ("two, more", "3"),
    ]  # fmt: skip
    assert [row["area_um2"] for row in rows] == ["15", "", "", ""]
    assert [row["intensity_mean_1"] for row in rows] == ["", "1", "1", "1"]


@pytest.mark.parametrize("rows_a_group", [1, 3, 100])
def test_all_images_in_one_parquet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_a_group: int
) -> None:
    monkeypatch.setattr(measurements, "ROWS_A_GROUP", rows_a_group)
    joined(tmp_path, three_parts(tmp_path))
    read = in_parquet(tmp_path / "measurements.parquet")
    assert read["image"].to_pylist() == ["first", "two, more", "two, more", "two, more"]
    assert read["id"].to_pylist() == [1, 1, 2, 3]
    area = read["area_um2"].to_pylist()
    assert area[0] == 15
    assert np.isnan(area[1:]).all()
    assert read["intensity_mean_1"].to_pylist()[1:] == [1, 1, 1]


def test_the_same_cells_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "a.parquet", "b.parquet"):
        write_measurements(tmp_path / name, seven_hundred())
    for ending in ("csv", "parquet"):
        one, two = (tmp_path / f"{name}.{ending}" for name in "ab")
        assert one.read_bytes() == two.read_bytes()


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with refused(OutputError, ".csv", ".parquet", file="x.xlsx", key="format"):
        write_measurements(tmp_path / "x.xlsx", seven_hundred())
    assert list(tmp_path.iterdir()) == []
    parts, places = {"x": tmp_path / "x.csv"}, (tmp_path / "all.csv", tmp_path / "all.parquet")
    with refused(InputError, file="x.csv"):
        join_measurements(*places, parts, COLUMNS)
    (tmp_path / "x.csv").write_text("type,area\na,1\n")
    with refused(FormatError, file="x.csv", key="id"):
        join_measurements(*places, parts, COLUMNS)
    (tmp_path / "x.csv").write_text("id,type,area,score\n1,a,many,0.5\n")
    with refused(FormatError, "'many'", key="area"):
        join_measurements(*places, parts, COLUMNS)
    assert not any(place.exists() for place in places)


@given(stacks(max_cells=5), st.integers(1, 30))
def test_measurements_do_not_depend_on_the_groups_they_are_made_in(
    stack: Stack, block: int
) -> None:
    cells = instances_of(stack)
    source = ArrayImage(np.arange(float(stack[0].size)).reshape(stack.shape[1:])
                        if len(stack) else np.zeros(cells.size))  # fmt: skip
    together = measure(source, cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bigkingxxl.rle.BLOCK", block)
        patch.setattr(measurements, "BAND_PIXELS", block)
        apart = measure(source, cells)
    assert list(apart) == list(together)
    for name, column in together.items():
        np.testing.assert_array_equal(apart[name], column, err_msg=name)
