"""A large image is predicted completely: no cell is cut at seams, lost, doubled or renumbered."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import Window
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.domain.quality_assessment import QualityAssessment
from bigkingxxl.inference.predictor import ImageContext
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.imagej import read_rois
from bigkingxxl.io.annotations.qupath import read_geojson
from bigkingxxl.io.images import open_image
from bigkingxxl.overlaps import iou_pairs
from bigkingxxl.runs.remeasure import remeasure
from tests.runs.large.blobs import Blobs, contents, field, image_of, predict, small_blocks

SIZE = (300, 350)


@pytest.fixture
def labels() -> np.ndarray:
    return field(SIZE, 500)


@pytest.fixture
def image(tmp_path: Path, labels: np.ndarray) -> Path:
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, image_of(labels), tile=(16, 16), compression="deflate",
                     resolution=(20_000, 20_000), resolutionunit="CENTIMETER")  # fmt: skip
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def same_cells(found: Instances, true: Instances) -> int:
    """The number of cells that are identical pixel for pixel."""
    _, _, overlap = iou_pairs(found, true)
    return int((overlap == 1).sum())


def test_all_formats_hold_the_cells_of_the_unsplit_image(
    tmp_path: Path, image: Path, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    out = tmp_path / "out"
    result = predict(image, out)
    assert not result.failed
    true = Instances.from_label_map(labels)
    count = len(true)
    assert result.cells == {"large": count}
    found = tifffile.imread(out / "labels" / "large.tif")
    assert same_cells(Instances.from_label_map(found), true) == count
    # Dense: 1 .. N, each once.
    assert np.array_equal(np.unique(found), np.arange(count + 1))
    for name in ("large.zarr", "large.0.5.zarr"):
        source = open_image(out / "labels" / name)
        assert np.array_equal(source.read()[0], found)
        assert source.pixel_size_um == pytest.approx((0.5, 0.5))
    qupath = read_geojson(out / "qupath" / "large.geojson", SIZE)
    rois = read_rois(out / "imagej" / "large.zip", SIZE)
    for cells in (qupath, rois):
        assert same_cells(cells, Instances.from_label_map(found)) == len(cells) == count
    rows = rows_of(out / "measurements" / "large.csv")
    assert [int(row["id"]) for row in rows] == list(range(1, count + 1))
    areas = np.bincount(found.ravel())[1:]
    assert [int(row["area"]) for row in rows] == areas.tolist()
    centre = np.argwhere(found == 7).mean(axis=0)
    assert float(rows[6]["centroid_row"]) == pytest.approx(centre[0], abs=1e-4)
    assert float(rows[6]["centroid_col_um"]) == pytest.approx(centre[1] / 2, abs=1e-4)
    pixels = tifffile.imread(image)
    assert float(rows[6]["intensity_mean"]) == pytest.approx(pixels[found == 7].mean(), rel=1e-5)
    summary = rows_of(out / "summary.csv")[0]
    assert int(summary["cells"]) == count
    assert float(summary["median_area"]) == np.median(areas)
    assert float(summary["confluence_percent"]) == pytest.approx(100 * (found > 0).mean(), rel=1e-4)
    names = [feature["properties"]["name"] for feature in
             json.loads((out / "qupath" / "large.geojson").read_text())["features"]]  # fmt: skip
    assert names == [str(number) for number in range(1, count + 1)]
    assert (out / "overlays" / "large.png").is_file()
    assert len((out / "submission.csv").read_text().splitlines()) == count + 1


class Sized(Blobs):
    """Records the cell size with which it is called."""

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
        return replace(super().candidates_in(source, context), cell_diameter=11.5)


def test_a_large_image_is_judged_by_its_sample(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    seen = []

    def judge(source: ImageSource, candidates: Candidates, cells: Instances) -> QualityAssessment:
        seen.append((source.shape, candidates.cell_diameter, len(cells)))
        return QualityAssessment(0.4, ("odd",))

    options: dict[str, Any] = {
        "formats": ("labels", "summary"), "predictor": Sized(), "judge": judge,
    }  # fmt: skip
    result = predict(image, tmp_path / "out", **options)
    ((shape, diameter, count),) = seen
    assert (shape, diameter) == (SIZE, 11.5)
    assert count > 5
    assert result.diameters == {"large": 11.5}
    assert result.expected_quality == {"large": 0.4}
    assert result.warnings == {"large": ("odd",)}
    (row,) = rows_of(tmp_path / "out" / "summary.csv")
    assert (row["diameter"], row["expected_quality"], row["warnings"]) == ("11.5", "0.4", "odd")
    # From stored results.
    again = predict(image, tmp_path / "out", **options)
    assert (again.diameters, again.expected_quality) == ({"large": 11.5}, {"large": 0.4})


def test_repeated_reading_in_smaller_windows_gives_the_same_bytes(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    predict(image, tmp_path / "one")
    predict(image, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    again = predict(image, tmp_path / "two")
    assert again.skipped == 1
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_label_windows_are_read_separately(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    predict(image, tmp_path / "out", formats=("labels",))
    with tifffile.TiffFile(tmp_path / "out" / "labels" / "large.tif") as tiff:
        assert tiff.is_bigtiff
        assert tiff.pages[0].tile == (16, 16)
    part = open_image(tmp_path / "out" / "labels" / "large.tif").read(Window(100, 50, 120, 90))
    whole = tifffile.imread(tmp_path / "out" / "labels" / "large.tif")
    assert np.array_equal(part[0], whole[100:120, 50:90])


def test_measuring_again_makes_further_formats_and_keeps_the_rest(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    out = tmp_path / "out"
    predict(
        image,
        out,
        formats=("labels", "measurements"),
        judge=lambda *_: QualityAssessment(0.5, ("odd",)),
    )
    before = contents(out)
    result = remeasure(out, ["qupath"])
    assert not result.failed
    after = contents(out)
    assert {name: after[name] for name in before if name != "run.json"} == {
        name: content for name, content in before.items() if name != "run.json"
    }
    assert (out / "qupath" / "large.geojson").is_file()
    assert "odd" in rows_of(out / "summary.csv")[0]["warnings"]


def test_progress_counts_blocks_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    tifffile.imwrite(tmp_path / "slide.tif", image_of(field((150, 200), 60)))
    told: list[tuple[str, int, int]] = []

    def track(items: Any, total: Any, label: Any) -> Iterator[Any]:
        for done, item in enumerate(items, 1):
            if callable(label):
                told.append((label(), done, total()))
            yield item

    predict(tmp_path / "slide.tif", tmp_path / "out", formats=("labels",), track=track)
    assert told == [("predicting slide, blocks", done, 12) for done in range(1, 13)]


def test_what_is_fixed_for_an_image_does_not_depend_on_its_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    plans = []
    for core in (64, 128):
        small_blocks(monkeypatch, core)
        predict(image, tmp_path / str(core), formats=("summary",))
        (place,) = (tmp_path / str(core)).glob("blocks/*/plan.json")
        plans.append(json.loads(place.read_bytes()) | {"core": None})
    assert plans[0] == plans[1]
