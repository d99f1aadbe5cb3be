"""Corrections made in the viewer are read by everything else: training, scores, measurements."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigkingxxl.data.dataset import fingerprint, open_dataset
from bigkingxxl.errors import FormatError
from bigkingxxl.evaluation.predictions import read_predictions
from bigkingxxl.evaluation.truth import read_truth
from bigkingxxl.io.images import find_images
from bigkingxxl.runs.reader import open_run
from bigkingxxl.runs.remeasure import remeasure
from tests.refusals import refused
from tests.threshold import SIZE, pixels, results, run, squares
from tests.viewer.window import Server, Window

Corrected = tuple[Path, np.ndarray]


@pytest.fixture
def corrected(run_folder: Path) -> Corrected:
    """A run whose first image was corrected, with its upper half reviewed, and its labels."""
    region = np.zeros(SIZE, bool)
    region[:20] = True
    with Server(run_folder) as server:
        window = Window(server, server.keys["i00"])
        window.delete(2)
        window.paint((15, 40, 19, 50), 9)
        window.edit("type", lambda _, cells: cells.__setitem__(9, {**cells[9], "type": "astro"}))
        window.mark(region)
        other = Window(server, server.keys["i01"])
        other.post("done", done={"before": False, "after": True})
    return run_folder, window.labels


def numbers_of(path: Path, name: str) -> list[int]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [int(row["id"]) for row in csv.DictReader(stream) if row["image"] == name]


def test_corrections_are_a_data_set_of_reviewed_images(corrected: Corrected) -> None:
    folder, labels = corrected
    dataset = open_dataset(folder / "corrections")
    assert (dataset.layout, dataset.ids) == ("corrections", ("i00", "i01"))
    cells = dataset.instances("i00")
    np.testing.assert_array_equal(cells.label_map() > 0, labels > 0)
    kinds = [dataset.type_names[kind] for kind in cells.cell_type]
    assert kinds == ["cort", "cort", "astro"]
    ignored = dataset.ignored("i00")
    assert ignored is not None
    assert ignored[20:].all()
    assert not ignored[:20].any()
    whole = dataset.ignored("i01")
    assert whole is None or not whole.any()
    assert dataset.source("i00").shape == SIZE
    assert fingerprint(dataset)


def test_of_the_run_as_a_data_set_the_corrected_cells_count(corrected: Corrected) -> None:
    folder, labels = corrected
    dataset = open_dataset(folder)
    assert dataset.ids == ("i00", "i01", "i02")
    np.testing.assert_array_equal(dataset.instances("i00").label_map() > 0, labels > 0)
    assert dataset.ignored("i00") is not None
    assert dataset.ignored("i02") is None
    np.testing.assert_array_equal(open_run(folder)["i00"].label_map(), labels)


def test_a_prediction_is_scored_against_its_corrections(corrected: Corrected) -> None:
    folder, _ = corrected
    truth = read_truth(folder / "corrections")
    found = read_predictions(folder, truth)
    assert len(found.cells["i00"]) == 3  # as predicted
    assert len(truth.instances("i00")) == 3
    assert len(read_predictions(folder / "corrections", truth).cells["i01"]) == 12


def test_measure_follows_and_leaves_the_predicted_label_image(corrected: Corrected) -> None:
    folder, _ = corrected
    before = results(folder)
    remeasure(folder)
    after = results(folder)
    assert numbers_of(folder / "measurements.csv", "i00") == [1, 3, 9]
    assert numbers_of(folder / "measurements.csv", "i01") == [*range(1, 13)]
    kept = ("cells/i00.npz", "candidates/i00.npz", "labels/i00.tif", "labels/i01.tif")
    unchanged = [name for name in before if name in kept]
    assert len(unchanged) == len(kept)
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert after["overlays/i00.png"] != before["overlays/i00.png"]
    assert remeasure(folder).skipped == 3
    with Server(folder) as server:
        Window(server, server.keys["i00"]).delete(1)
    remeasure(folder)
    assert numbers_of(folder / "measurements.csv", "i00") == [3, 9]
    # Cells that a run of the same settings predicts again count as corrected as well.
    run(sorted((folder.parent / "images").iterdir()), folder)
    assert numbers_of(folder / "measurements.csv", "i00") == [3, 9]


def test_an_image_corrected_in_two_places_is_reported(corrected: Corrected) -> None:
    folder, _ = corrected
    Image.fromarray(squares(2).astype(np.uint16)).save(folder / "labels" / "i00.tif")
    found = remeasure(folder)
    assert "i00 was corrected twice" in found.failed["i00"]
    with pytest.raises(FormatError):
        open_run(folder)["i00"].cells  # noqa: B018


def test_an_image_that_changed_is_not_given_another_ones_cells(corrected: Corrected) -> None:
    folder, _ = corrected
    Image.fromarray(pixels(5)).save(folder.parent / "images" / "i00.png")
    with Server(folder) as server:
        answer = server.client.get(f"/api/images/{server.keys['i00']}/labels")
    assert (answer.status_code, "changed since" in answer.json()["error"]) == (422, True)
    found = run(sorted((folder.parent / "images").iterdir()), folder)
    assert "changed since" in found.failed["i00"]


def test_corrections_are_no_images(corrected: Corrected) -> None:
    folder, _ = corrected
    (folder / "corrections").rename(folder.parent / "images" / "corrections")
    names = [file.name for file in find_images([folder.parent / "images"]).files]
    assert names == ["i00", "i01", "i02"]


def test_images_that_moved_along_are_found(corrected: Corrected, tmp_path: Path) -> None:
    folder, _ = corrected
    (tmp_path / "elsewhere").mkdir()
    (folder.parent / "images").rename(tmp_path / "elsewhere" / "images")
    folder.rename(tmp_path / "elsewhere" / "run")
    dataset = open_dataset(tmp_path / "elsewhere" / "run" / "corrections")
    assert dataset.source("i00").shape == SIZE


def test_without_reviewed_images_nothing_can_be_learned(run_folder: Path) -> None:
    with Server(run_folder) as server:
        Window(server, server.keys["i00"]).delete(2)
    with refused(FormatError, file="corrections"):
        open_dataset(run_folder / "corrections")


def test_a_newer_version_is_refused(run_folder: Path) -> None:
    with Server(run_folder) as server:
        Window(server, server.keys["i00"]).delete(2)
    mark = run_folder / "corrections" / "corrections.json"
    mark.write_text(mark.read_text().replace("corrections-1", "corrections-2"))
    with refused(FormatError, file="corrections.json", key="format"):
        open_dataset(run_folder / "corrections")
    with refused(FormatError, file="corrections.json", key="format"):
        Server(run_folder)
