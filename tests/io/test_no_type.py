"""Cells of none of the known types: every format leaves their type out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from bigkingxxl.images import ArrayImage
from bigkingxxl.instances import NO_TYPE, Instances
from bigkingxxl.io.annotations.coco_results import write_results
from bigkingxxl.io.annotations.imagej import read_rois, write_rois
from bigkingxxl.io.annotations.qupath import read_geojson, write_geojson
from bigkingxxl.io.pictures.overlay import draw_overlay
from bigkingxxl.io.tables.measurements import measure
from bigkingxxl.io.tables.summary import summarise, write_summary

NAMES = ("astro", NO_TYPE)
SIZE = (40, 60)


def cells(kinds: list[int]) -> Instances:
    """Squares side by side."""
    labels = np.zeros(SIZE, np.int32)
    for index in range(len(kinds)):
        labels[5:15, 2 + 12 * index : 12 + 12 * index] = index + 1
    return Instances.from_label_map(
        labels, type_names=NAMES, cell_type=np.array(kinds), score=np.ones(len(kinds), np.float32)
    )


def test_tables_leave_the_type_empty(tmp_path: Path) -> None:
    source = ArrayImage(np.zeros(SIZE, np.uint8))
    assert measure(source, cells([0, 1]))["type"].tolist() == ["astro", ""]
    write_summary(tmp_path / "summary.csv", [summarise("x", cells([0, 1, 1]))])
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as stream:
        row = next(csv.DictReader(stream))
    assert (row["cells"], row["cells_astro"]) == ("3", "1")
    assert [name for name in row if name.startswith("cells_")] == ["cells_astro"]


def test_outlines_have_no_type_and_come_back_untyped(tmp_path: Path) -> None:
    write_rois(tmp_path / "x.zip", cells([0, 1]))
    found = read_rois(tmp_path / "x.zip", SIZE)
    assert [found.type_names[kind] for kind in found.cell_type] == ["astro", "cell"]
    write_geojson(tmp_path / "x.geojson", cells([0, 1]))
    features = json.loads((tmp_path / "x.geojson").read_text(encoding="utf-8"))
    features = features["features"] if isinstance(features, dict) else features
    assert ["classification" in each["properties"] for each in features] == [True, False]
    found = read_geojson(tmp_path / "x.geojson", SIZE)
    assert [found.type_names[kind] for kind in found.cell_type] == ["astro", "cell"]


def test_neighbours_without_a_type_differ_in_colour() -> None:
    source = ArrayImage(np.zeros(SIZE, np.uint8))

    def colours(kinds: list[int]) -> int:
        picture = draw_overlay(source, cells(kinds))
        flat = picture.reshape(-1, picture.shape[-1])
        return len({tuple(each) for each in flat.tolist() if len(set(each)) > 1})

    assert colours([1, 1, 1, 1]) == 4
    assert colours([0, 0, 0, 0]) == 1


def test_coco_names_them_cells(tmp_path: Path) -> None:
    write_results(tmp_path / "x.json", {"x": cells([0, 1])})
    found = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert [each["category_name"] for each in found] == ["astro", "cell"]
