"""The files of a run in each format, read back by the reader of the format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from roifile import roiread

from bigkingxxl.errors import InputError
from bigkingxxl.io.annotations.cellpose import read_seg
from bigkingxxl.io.annotations.imagej import read_rois
from bigkingxxl.io.annotations.kaggle import read_submission
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.io.annotations.qupath import read_geojson
from tests.refusals import refused
from tests.threshold import SIZE, Threshold, pixels, run, squares


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Images of 3 cells with a pixel size, of 12 without, and a constant one."""
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", pixels(3), imagej=True, resolution=(2, 4),
                     metadata={"unit": "um"})  # fmt: skip
    Image.fromarray(pixels(12)).save(folder / "b.png")
    Image.fromarray(np.full(SIZE, 9, np.uint8)).save(folder / "c.png")
    return [folder / name for name in ("a.tif", "b.png", "c.png")]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_format_contains_the_same_cells(tmp_path: Path, images: list[Path]) -> None:
    out = tmp_path / "out"
    assert run(images, out).cells == {"a": 3, "b": 12, "c": 0}
    for name, count in {"a": 3, "b": 12, "c": 0}.items():
        labels = read_label_image(out / "labels" / f"{name}.tif")
        assert np.array_equal(labels > 0, squares(count) > 0)
        rois = read_rois(out / "imagej" / f"{name}.zip", SIZE)
        features = read_geojson(out / "qupath" / f"{name}.geojson", SIZE)
        seg = read_seg(out / "cellpose" / f"{name}_seg.npy")
        for cells in (rois, features, seg):
            assert np.array_equal(cells.label_map(), labels)
        assert rois.type_names == features.type_names == (("cort",) if count else ("cell",))
        rows = rows_of(out / "measurements" / f"{name}.csv")
        assert [row["area"] for row in rows] == ["25"] * count
        for folder in ("overlays", "thumbnails"):
            with Image.open(out / folder / f"{name}.png") as image:
                assert image.convert("RGB").size == image.size
    submitted = read_submission(out / "submission.csv", dict.fromkeys("abc", SIZE))
    assert [len(submitted[name]) for name in "abc"] == [3, 12, 0]
    assert len(json.loads((out / "results.json").read_text())) == 15
    with Image.open(out / "contact_sheet.png") as image:
        assert image.format == "PNG"


def test_tables_of_the_run(tmp_path: Path, images: list[Path]) -> None:
    run(images, tmp_path, "measurements", "summary")
    a, b, c = rows_of(tmp_path / "summary.csv")
    assert (a["cells"], a["cells_cort"], a["confluence_percent"]) == ("3", "3", "3.125")
    assert (a["median_area_um2"], a["density_per_mm2"]) == ("3.125", "10000")
    assert (b["median_area"], b["median_area_um2"], b["mean_score"]) == ("25", "", "0.75")
    assert {row["model"] for row in (a, b, c)} == {"abc123"}
    assert {row["scale"] for row in (a, b, c)} == {"1.5"}
    assert (a["warnings"], b["warnings"], a["failure"]) == ("", "", "")
    assert "constant or empty" in c["warnings"]
    rows = rows_of(tmp_path / "measurements.csv")
    assert [row["image"] for row in rows] == ["a"] * 3 + ["b"] * 12
    assert (rows[0]["intensity_mean"], rows[0]["centroid_col_um"]) == ("200", "1")
    assert (tmp_path / "measurements.parquet").read_bytes()[:4] == b"PAR1"
    assert not (tmp_path / "labels").exists()


def test_later_formats_are_made_from_stored_results(tmp_path: Path, images: list[Path]) -> None:
    predictor = Threshold()
    run(images, tmp_path, "labels", predictor=predictor)
    result = run(images, tmp_path, predictor=predictor)
    assert (result.cells, result.skipped) == ({"a": 3, "b": 12, "c": 0}, 0)
    assert run(images, tmp_path, predictor=predictor).skipped == 3
    assert len(predictor.asked) == 3
    assert len(rows_of(tmp_path / "summary.csv")) == 3


def test_an_unreadable_image_is_in_the_summary_with_its_reason(
    tmp_path: Path, images: list[Path]
) -> None:
    images[1].write_bytes(b"no picture")
    result = run(images, tmp_path / "out")
    assert list(result.failed) == ["b"]
    a, b, c = rows_of(tmp_path / "out" / "summary.csv")
    assert (a["cells"], b["cells"], c["cells"]) == ("3", "", "0")
    assert str(images[1]) in b["failure"]
    assert len(rows_of(tmp_path / "out" / "measurements.csv")) == 3


def test_frames_of_a_time_lapse_know_their_place(tmp_path: Path) -> None:
    stack = np.stack([pixels(2), pixels(5)])
    tifffile.imwrite(tmp_path / "movie.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "still.tif", pixels(4), photometric="minisblack")
    out = tmp_path / "out"
    paths = [tmp_path / "movie.tif", tmp_path / "still.tif"]
    run(paths, out, "imagej", "qupath")

    def positions(name: str) -> set[int]:
        rois: Any = roiread(out / "imagej" / name)
        return {roi.position for roi in rois}

    assert positions("movie_t000.zip") == {1}
    assert positions("movie_t001.zip") == {2}
    assert positions("still.zip") == {0}  # of all frames: there is only one
    features = json.loads((out / "qupath" / "movie_t001.geojson").read_text())["features"]
    assert {feature["geometry"]["plane"]["t"] for feature in features} == {1}


def test_the_same_run_is_the_same_bytes(tmp_path: Path, images: list[Path]) -> None:
    for name in ("one", "two"):
        run(images, tmp_path / name)
    first = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
    # Records hold the time of writing, by which a later change of a file is recognised.
    first = [path for path in first if "records" not in path.parts]
    assert len(first) > 3 * 7
    for path in first:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes(), path.name


def test_a_format_that_does_not_exist(tmp_path: Path, images: list[Path]) -> None:
    with refused(InputError, "'imagej'", key="--format", found="imagejj", expected="imagej"):
        run(images, tmp_path, "imagejj")


def test_a_blank_image_is_warned_of(tmp_path: Path, images: list[Path]) -> None:
    result = run(images, tmp_path, "summary")
    assert list(result.warnings) == ["c"]
