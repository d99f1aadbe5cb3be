"""A run with corrected cells gives the same cells to everything that reads it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import shapely
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from bigkingxxl.cli.main import app
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.evaluation.predictions import read_predictions
from bigkingxxl.evaluation.truth import read_truth
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.finish import finish_run
from bigkingxxl.runs.reader import open_run
from bigkingxxl.runs.remeasure import remeasure
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import RunStore
from tests.threshold import SIZE, Threshold, results, run, save_images, squares
from tests.viewer.window import Server, Window

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COUNTS = (3, 12, 5)
NAMES = ("i00", "i01", "i02")
GONE = 2  # the cell that a person removes from the first image
Edit = Callable[[Path], None]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return save_images(tmp_path / "images", COUNTS)


@pytest.fixture
def out(tmp_path: Path, images: list[Path]) -> Path:
    run(images, tmp_path / "out")
    return tmp_path / "out"


# ---- each program's own way to remove a cell -----------------------------------------------------


def in_viewer(out: Path) -> None:
    with Server(out) as server:
        window = Window(server, server.keys["i00"])
        window.delete(GONE)
        window.post("done", done={"before": False, "after": True})


def in_labels(out: Path) -> None:
    place = out / "labels" / "i00.tif"
    labels = read_label_image(place)
    Image.fromarray(np.where(labels == GONE, 0, labels).astype(np.uint16)).save(place)


def in_seg(out: Path) -> None:
    place = out / "cellpose" / "i00_seg.npy"
    content: dict[str, Any] = np.load(place, allow_pickle=True).item()
    content["masks"][content["masks"] == GONE] = 0
    np.save(place, content)  # type: ignore[arg-type]


def in_rois(out: Path) -> None:
    place = out / "imagej" / "i00.zip"
    rois = roifile.roiread(place)
    assert isinstance(rois, list)
    del rois[GONE - 1]
    place.unlink()
    roifile.roiwrite(place, rois)


def in_geojson(out: Path) -> None:
    place = out / "qupath" / "i00.geojson"
    content = json.loads(place.read_text())
    assert shapely.geometry.shape(content["features"][GONE - 1]["geometry"]).area == 25
    del content["features"][GONE - 1]
    place.write_text(json.dumps(content))


EDITS: dict[str, Edit] = {
    "corrections/labels": in_viewer, "labels": in_labels, "cellpose": in_seg, "imagej": in_rois,
    "qupath": in_geojson,
}  # fmt: skip


def left() -> NDArray[np.bool_]:
    """The foreground of the first image after the edit."""
    labels = squares(COUNTS[0])
    return np.asarray((labels > 0) & (labels != GONE))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def counts_in(out: Path) -> list[str]:
    return [row["cells"] for row in rows_of(out / "summary.csv")]


def command(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


# ---- one truth -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", EDITS)
def test_all_that_reads_a_run_means_the_same_cells(
    out: Path, images: list[Path], place: str
) -> None:
    EDITS[place](out)
    image = open_run(out)["i00"]
    assert (image.corrected, image.is_measured) == (place, False)
    assert image.summary.cells == COUNTS[0] - 1
    assert np.array_equal(image.cells.label_map() > 0, left())
    assert np.array_equal(open_dataset(out).instances("i00").label_map() > 0, left())
    save_truth(out.parent / "truth")
    found = read_predictions(out, read_truth(out.parent / "truth"))
    assert np.array_equal(found.cells["i00"].label_map() > 0, left())
    assert any(f"1 image ({place}/)" in note for note in found.notes)
    predicted = read_predictions(out, read_truth(out.parent / "truth"), as_predicted=True)
    assert len(predicted.cells["i00"]) == COUNTS[0]
    # The tables follow, whoever makes them: here without the model.
    for make in (finish_run, remeasure, lambda folder: run(images, folder)):
        result = make(out)
        assert result.corrected == {"i00": place}
        assert result.cells == {"i00": 2, "i01": 12, "i02": 5}
        assert counts_in(out) == ["2", "12", "5"]
        rows = [row for row in rows_of(out / "measurements.csv") if row["image"] == "i00"]
        assert [row["area"] for row in rows] == ["25", "25"]
        assert open_run(out)["i00"].is_measured
    after = results(out)
    remeasure(out, overwrite=True)
    assert results(out) == after
    assert open_run(out)["i00"].corrected == place


def save_truth(folder: Path) -> None:
    """The true label images of the three images."""
    folder.mkdir()
    for name, count in zip(NAMES, COUNTS, strict=True):
        Image.fromarray(squares(count).astype(np.uint16)).save(folder / f"{name}.tif")


@pytest.mark.parametrize("place", EDITS)
def test_corrected_cells_keep_their_model(out: Path, images: list[Path], place: str) -> None:
    EDITS[place](out)
    other = Threshold(score=0.6)
    result = run(images, out, predictor=other, key="other", model="other")
    assert sorted(other.asked) == ["i01", "i02"]  # by threads, in any order
    assert result.kept_models == {"i00": "abc123"}
    rows = rows_of(out / "summary.csv")
    assert [row["model"] for row in rows] == ["abc123", "other", "other"]
    assert [row["corrected"] for row in rows] == [place, "", ""]
    assert [row["cells_cort"] for row in rows] == ["2", "12", "5"]
    # It is one run: its tables contain everything, including results made from candidates.
    assert result.tables.others == []
    assert result.tables.incomplete == {}
    scores = [each["score"] for each in json.loads((out / "results.json").read_text())]
    assert scores == [0.75] * 3 + [pytest.approx(0.6)] * 17
    assert np.array_equal(open_run(out)["i00"].cells.label_map() > 0, left())
    assert len(open_run(out)["i00"].found_cells) == COUNTS[0]
    assert run(images, out, predictor=other, key="other", model="other").skipped == 3
    # Other thresholds for the rest do not change it either.
    strict = Selection(OperatingPoints(), min_score=0.7)
    again = run(images, out, predictor=other, key="other", model="other", selection=strict)
    assert list(again.cells.values()) == [2, 0, 0]
    assert again.kept_models == {"i00": "abc123"}
    assert remeasure(out).cells == again.cells


def test_a_removed_correction_is_predicted_by_the_new_model(out: Path, images: list[Path]) -> None:
    before = (out / "labels" / "i00.tif").read_bytes()
    in_labels(out)
    run(images, out, key="other", model="other")
    (out / "labels" / "i00.tif").write_bytes(before)
    result = run(images, out, key="other", model="other")
    assert (result.kept_models, result.cells["i00"]) == ({}, 3)
    assert {row["model"] for row in rows_of(out / "summary.csv")} == {"other"}
    run(images, out.parent / "alone", key="other", model="other")
    assert results(out) == results(out.parent / "alone")


def test_an_image_that_fails_later_loses_nothing_of_its_corrections(
    out: Path, images: list[Path]
) -> None:
    in_labels(out)
    image = images[0].read_bytes()
    images[0].write_bytes(b"no image")
    assert list(run(images, out, key="other", model="other").failed) == ["i00"]
    images[0].write_bytes(image)
    result = run(images, out, key="other", model="other")
    assert (result.failed, result.kept_models) == ({}, {"i00": "abc123"})
    rows = [row for row in rows_of(out / "measurements.csv") if row["image"] == "i00"]
    assert [row["score"] for row in rows] == ["0.75", "0.75"]


def test_cells_that_are_gone_are_not_selected_by_other_thresholds(out: Path) -> None:
    (out / "cells" / "i01.npz").write_bytes(b"damaged")
    (out / "labels" / "i01.tif").unlink()
    result = remeasure(out)
    assert list(result.failed) == ["i01"]
    assert "predict it again" in result.failed["i01"]


def test_contradictory_corrections_are_reported_by_all_commands(
    out: Path, images: list[Path]
) -> None:
    in_rois(out)
    in_labels(out)
    assert remeasure(out).failed == {}  # they agree
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(out / "labels" / "i00.tif")
    for result in (remeasure(out), run(images, out), finish_run(out)):
        assert "differ" in result.failed["i00"]


def test_a_file_that_the_viewer_started_from_is_not_a_second_correction(out: Path) -> None:
    in_rois(out)
    with Server(out) as server:
        Window(server, server.keys["i00"]).delete(1)
    assert remeasure(out).cells["i00"] == COUNTS[0] - 2
    in_labels(out)
    assert "corrected twice" in remeasure(out).failed["i00"]
    assert RunStore(out).record("failure", "i00") is not None


# ---- what is told --------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["corrections/labels", "labels"])
def test_each_command_reports_which_cells_it_used(out: Path, place: str) -> None:
    EDITS[place](out)
    truth = out.parent / "truth"
    save_truth(truth)
    line = f"2 images, as corrected{' in the viewer' * (place != 'labels')} in 1 image ({place}/)"
    told = {
        "measure": command("measure", out, "--quiet").stderr,
        "tables": command("tables", out).stderr,
        "report": command("report", out).stderr,
        "scored": command("report", out, "--truth", truth).stderr,
        "evaluate": command("evaluate", out, truth).stdout,
        "compare": command("compare", out, f"same={out}", "--truth", truth).stdout,
    }
    for name, text in told.items():
        assert line in " ".join(text.split()), name
    assert json.loads(command("tables", out, "--json").stdout)["corrected"] == {"i00": place}
    text = command("evaluate", out, truth, "--as-predicted").stdout
    assert "predicted cells of" in " ".join(text.split())
    command("evaluate", truth, truth, "--as-predicted", code=2)
    assert (
        f"as corrected{' in the viewer' * (place != 'labels')} in 1"
        in (out / "report.html").read_text()
        or place == "labels"
    )


def all_astro(_: NDArray[Any], cells: dict[int, Any]) -> None:
    for number, cell in list(cells.items()):
        cells[number] = {**cell, "type": "astro"}


def test_columns_mean_the_same_for_corrected_images(out: Path, images: list[Path]) -> None:
    with Server(out) as server:
        window = Window(server, server.keys["i00"])
        window.edit("type", all_astro)
        window.paint((30, 40, 34, 50), 9)
    images[2].write_bytes(b"no image")
    run(images, out)
    first, second, failed = rows_of(out / "summary.csv")
    # A type without cells counts 0; a cell without a type is in no column.
    assert [first[name] for name in ("cells", "cells_astro", "cells_cort")] == ["4", "3", "0"]
    assert [second[name] for name in ("cells", "cells_astro", "cells_cort")] == ["12", "0", "12"]
    assert [failed[name] for name in ("cells", "cells_astro", "cells_cort")] == ["", "", ""]
    assert first["expected_quality"] == ""
