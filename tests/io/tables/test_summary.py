"""`summary.csv`: one row per image, values computed by hand, read by the csv module."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigkingxxl.instances import Instances
from bigkingxxl.io.tables.summary import summarise, write_summary
from tests.support import instances_of

SIZE = (20, 50)


def three_cells(**fields: Any) -> Instances:
    """Cells of 10, 20 and 60 pixels, in an image of 1000."""
    stack = np.zeros((3, *SIZE), bool)
    stack[0, 0, :10] = stack[1, 5:7, :10] = stack[2, 10:16, :10] = True
    return instances_of(stack, **fields)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_row_by_hand(tmp_path: Path) -> None:
    cells = three_cells(
        cell_type=np.array([1, 0, 1]), type_names=("astro", "cort", "shsy5y"),
        score=np.array([0.5, 0.6, 1.0], np.float32), pixel_size_um=(0.5, 2.0),
    )  # fmt: skip
    row = summarise(
        "well, A1", cells, model="abc123", scale=1.5, diameter=41.25, expected_quality=0.31,
        warnings=("dark", "blurred"),
    )  # fmt: skip
    write_summary(tmp_path / "summary.csv", [row])
    assert rows_of(tmp_path / "summary.csv") == [
        {
            "image": "well, A1",
            "cells": "3",
            "cells_astro": "1",
            "cells_cort": "2",
            "cells_shsy5y": "0",
            "confluence_percent": "9",
            "median_area": "20",
            "median_area_um2": "20",
            "density_per_mm2": "3000",  # 3 cells in 1000 square micrometres
            "mean_score": "0.7",
            "expected_quality": "0.31",
            "model": "abc123",
            "corrected": "",
            "scale": "1.5",
            "diameter": "41.25",
            "warnings": "dark; blurred",
            "failure": "",
        }
    ]


def test_unknown_and_undefined_values_are_blank(tmp_path: Path) -> None:
    annotated = summarise("a", three_cells())
    none = summarise("b", Instances.empty(SIZE))
    sized = Instances.from_label_map(np.zeros(SIZE, int), pixel_size_um=(1.0, 1.0))
    write_summary(tmp_path / "x.csv", [annotated, none, summarise("c", sized)])
    one, two, three = rows_of(tmp_path / "x.csv")
    for name in ("median_area_um2", "density_per_mm2", "mean_score", "expected_quality", "model",
                 "scale", "diameter", "warnings"):  # fmt: skip
        assert one[name] == ""
    assert (two["cells"], two["confluence_percent"], two["median_area"]) == ("0", "0", "")
    assert (three["density_per_mm2"], three["median_area_um2"]) == ("0", "")


def test_a_pixel_under_two_annotated_cells_counts_once() -> None:
    stack = np.zeros((2, *SIZE), bool)
    stack[0, :10] = stack[1, 5:15] = True
    row = summarise("x", instances_of(stack))
    assert row.confluence_percent == 75
    assert row.median_area == 500


def test_images_with_other_types_share_a_table(tmp_path: Path) -> None:
    first = summarise("a", three_cells(type_names=("x",)))
    second = summarise("b", three_cells(type_names=("y", "x"), cell_type=np.array([1, 1, 0])))
    write_summary(tmp_path / "x.csv", iter([first, second]))
    one, two = rows_of(tmp_path / "x.csv")
    assert (one["cells_x"], one["cells_y"]) == ("3", "0")
    assert (two["cells_x"], two["cells_y"]) == ("2", "1")


def test_types_that_no_cell_has_get_no_columns(tmp_path: Path) -> None:
    untyped = three_cells(type_names=("x", ""), cell_type=np.array([1, 1, 1]))
    write_summary(tmp_path / "x.csv", [summarise("a", untyped)])
    (row,) = rows_of(tmp_path / "x.csv")
    assert [name for name in row if name.startswith("cells_")] == []
    typed = summarise("b", three_cells(type_names=("x", ""), cell_type=np.array([1, 0, 1])))
    write_summary(tmp_path / "x.csv", [summarise("a", untyped), typed])
    assert [row["cells_x"] for row in rows_of(tmp_path / "x.csv")] == ["0", "1"]


def test_no_images(tmp_path: Path) -> None:
    write_summary(tmp_path / "x.csv", [])
    assert rows_of(tmp_path / "x.csv") == []
    assert (tmp_path / "x.csv").read_text().startswith("image,cells,confluence_percent,")


def test_more_than_255_cells() -> None:
    cells = Instances.from_label_map(np.arange(1000).reshape(SIZE) + 1)
    assert summarise("x", cells).cells == 1000
    assert summarise("x", cells).confluence_percent == pytest.approx(100)
