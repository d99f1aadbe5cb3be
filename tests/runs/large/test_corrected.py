"""Cells of a large image that a person corrected: the files follow them, block by block."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.imagej import read_rois
from bigkingxxl.io.annotations.qupath import read_geojson
from bigkingxxl.io.images import open_image
from bigkingxxl.runs.finish import finish_run
from bigkingxxl.runs.reader import open_run
from bigkingxxl.runs.remeasure import remeasure
from bigkingxxl.runs.shards import Shard
from tests.runs.large.blobs import Blobs, field, image_of, predict, small_blocks
from tests.viewer.window import Server, Window

SIZE = (200, 260)
DRAWN = 70_000  # a number that does not fit into 16 bits
BAR = np.s_[90:94, 5:255]  # from one side of the image to the other, through all blocks


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_blocks(monkeypatch)
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, image_of(field(SIZE, 200)), tile=(16, 16))
    return path


def changed(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Two cells fewer, and one that extends over all blocks."""
    labels = np.where(np.isin(labels, (3, 8)), 0, labels)
    labels[BAR] = DRAWN
    return labels


def by_hand(out: Path) -> NDArray[np.int64]:
    place = out / "labels" / "large.tif"
    labels = changed(tifffile.imread(place).astype(np.int64))
    tifffile.imwrite(place, labels.astype(np.uint32))
    return labels


def in_viewer(out: Path) -> NDArray[np.int64]:
    with Server(out) as server:
        window = Window(server, server.keys["large"])

        def change(labels: NDArray[np.int64], cells: dict[int, Any]) -> None:
            labels[:] = changed(labels)
            cells[DRAWN] = {"origin": "drawn", "type": "", "score": None}

        window.edit("brush", change)
        return window.labels


@pytest.mark.parametrize("correct", [by_hand, in_viewer])
def test_all_files_follow_the_corrected_cells(
    tmp_path: Path, image: Path, correct: Callable[[Path], NDArray[np.int64]]
) -> None:
    out = tmp_path / "out"
    predict(image, out)
    before = (out / "labels" / "large.tif").read_bytes()
    labels = correct(out)
    kept = (out / "labels" / "large.tif").read_bytes()
    assert (kept == before) == (correct is in_viewer)
    numbers = np.unique(labels)[1:]
    areas = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    assert DRAWN in numbers
    for make in (remeasure, finish_run, lambda folder: predict(image, folder)):
        result = make(out)
        assert result.failed == {}
        assert result.cells == {"large": len(numbers)}
        assert list(result.corrected) == ["large"]
        rows = rows_of(out / "measurements.csv")
        assert {int(row["id"]): int(row["area"]) for row in rows} == {
            number: areas[number] for number in numbers
        }
        (row,) = rows_of(out / "summary.csv")
        assert row["cells"] == str(len(numbers))
        assert (out / "labels" / "large.tif").read_bytes() == kept
        for name in ("large.zarr", "large.0.5.zarr"):
            assert np.array_equal(open_image(out / "labels" / name).read()[0], labels)
        for cells in (read_geojson(out / "qupath" / "large.geojson", SIZE),
                      read_rois(out / "imagej" / "large.zip", SIZE)):  # fmt: skip
            assert sorted(cells.areas().tolist()) == sorted(areas[each] for each in numbers)
    run = open_run(out)["large"]
    assert np.array_equal(run.label_map(), labels)
    assert len(run.found_cells) == len(np.unique(labels)) + lost(labels)
    assert predict(image, out).skipped == 1


def lost(labels: NDArray[np.int64]) -> int:
    """The number of predicted cells that lie entirely under the drawn one."""
    found = field(SIZE, 200)
    under = [number for number in np.unique(found[BAR]) if number]
    return sum(not ((found == number) & (labels != DRAWN)).any() for number in under)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_corrected_cells_stay_with_the_model_that_made_them(tmp_path: Path, image: Path) -> None:
    out = tmp_path / "out"
    predict(image, out)
    labels = by_hand(out)
    other = Blobs()
    result = predict(image, out, predictor=other, key="other")
    assert other.looks == 0
    assert result.kept_models == {"large": "m"}
    assert np.array_equal(open_run(out)["large"].label_map(), labels)
    # Shards of a run find nothing left to do, and the last one finishes.
    for number in (1, 2):
        part = predict(image, out, predictor=other, key="other", shard=Shard(number, 2))
        assert part.failed == {}
    assert other.looks == 0
    assert finish_run(out).cells["large"] == len(np.unique(labels)) - 1


def test_corrected_again_while_files_were_being_made(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that an interrupted run left for other corrections are not mixed in."""
    from bigkingxxl.runs.large import formats

    out = tmp_path / "out"
    predict(image, out, formats=("labels", "measurements", "summary"))
    by_hand(out)
    real, calls = formats.LARGE_FORMATS["measurements"].join, list[object]()

    def broken(*arguments: object) -> None:
        calls.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setitem(
        formats.LARGE_FORMATS, "measurements",
        formats.LARGE_FORMATS["measurements"]._replace(join=broken),
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        remeasure(out)
    assert calls
    place = out / "labels" / "large.tif"
    labels = tifffile.imread(place)
    labels[labels == DRAWN] = 0
    tifffile.imwrite(place, labels)
    monkeypatch.setitem(
        formats.LARGE_FORMATS, "measurements",
        formats.LARGE_FORMATS["measurements"]._replace(join=real),
    )  # fmt: skip
    remeasure(out)
    rows = rows_of(out / "measurements.csv")
    expected = Instances.from_label_map(labels.astype(np.int64)).areas().tolist()
    assert sorted(int(row["area"]) for row in rows) == sorted(expected)
