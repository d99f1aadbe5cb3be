"""Background work: predicting, applying other thresholds, exporting."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.inference.ensemble_file import write_ensemble
from bigkingxxl.io.annotations.imagej import read_rois
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.runs.outputs import FORMATS
from bigkingxxl.runs.reader import open_run
from tests.threshold import SIZE, Threshold, results, run, save_images, squares
from tests.tiny_onnx import blobs, save_tiny_onnx
from tests.viewer.window import Server, Window


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of images, one of them a time-lapse, and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(blobs(4 + index, seed=index)).save(folder / f"p{index}.png")
    frames = [Image.fromarray(blobs(3, seed=9 + index)) for index in range(2)]
    frames[0].save(folder / "movie.tif", save_all=True, append_images=frames[1:])
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def test_the_viewed_image_of_a_folder_is_predicted_first(photos: Path, tmp_path: Path) -> None:
    model = save_tiny_onnx(tmp_path / "tiny.onnx")
    with Server(photos, model=str(model)) as server:
        states = {each["name"]: each["state"] for each in server.get("/api/images")["images"]}
        assert states == dict.fromkeys(["broken", "movie", "p0", "p1", "p2"], "waiting")
        key = server.keys["p2"]
        refused = server.client.post(f"/api/images/{key}/edits", json={
            "window": "window-x", "seq": 1, "revision": 0, "tool": "x", "reviewed": [0, 1, 0, 1],
        })  # fmt: skip
        assert refused.status_code == 422
        server.post(f"/api/images/{key}/urgent")
        server.jobs.begin()
        server.wait(server.get("/api/jobs")["jobs"][0])
        entries = {each["name"]: each for each in server.get("/api/images")["images"]}
        told = server.get("/api/events?after=0")["events"]
        done = [event["image"]["name"] for event in told if event["kind"] == "image"]
        assert done[0] == "p2"
        assert entries["broken"]["state"] == "failed"
        assert {name: each["cells"] for name, each in entries.items() if each["cells"]} == {
            "movie_t000": 3, "movie_t001": 3, "p0": 4, "p1": 5, "p2": 6,
        }  # fmt: skip
        assert entries["movie_t001"]["group"] == "movie.tif"
        window = Window(server, entries["movie_t001"]["key"])
        window.delete(1)
    assert len(open_run(photos / "cells")) == 6
    assert (photos / "cells" / "corrections" / "labels" / "movie_t001.tif").is_file()
    seen = {path: path.stat().st_mtime_ns for path in photos.rglob("candidates/*.npz")}
    assert len(seen) == 5
    command = ["predict", str(photos), "--out", str(photos / "cells"), "--model", str(model)]
    CliRunner().invoke(app, [*command, "--quiet"])
    assert {path: path.stat().st_mtime_ns for path in seen} == seen  # it continues that run
    with Server(photos, model=str(model)) as server:  # what is done stays done
        server.jobs.begin()
        assert Window(server, window.key).revision == 1
        kinds = {each["state"] for each in server.get("/api/images")["images"]}
        assert kinds == {"ready", "failed"}


def test_an_ensemble_predicts_as_one_model_but_learns_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(blobs(4)).save(tmp_path / "photos/p.png")
    models = [save_tiny_onnx(tmp_path / f"{name}.onnx") for name in ("one", "two")]
    both = tmp_path / "both.ensemble"
    write_ensemble(both, models, [2, 1])
    with Server(tmp_path / "photos", model=str(both)) as server:
        server.jobs.begin()
        server.wait(server.get("/api/jobs")["jobs"][0])
        assert server.get("/api/images")["images"][0]["cells"] == 4
        window = Window(server, server.keys["p"])
        window.delete(1)
        window.post("done", done={"before": False, "after": True})
        refused = server.client.post("/api/jobs/learn", json={"stage": 1, "minutes": 5})
        assert refused.status_code == 422
        assert both.name in refused.text
    seen = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("candidates/*.npz")}
    assert seen
    command = ["predict", str(tmp_path / "photos"), "--out", str(tmp_path / "photos" / "cells")]
    assert CliRunner().invoke(app, [*command, "--model", str(both), "--quiet"]).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in seen} == seen  # it continues that run


def test_other_thresholds_keep_corrected_images(run_folder: Path) -> None:
    with Server(run_folder) as server:
        window = Window(server, server.keys["i00"])
        window.paint((30, 10, 34, 20), 4)
        other = server.keys["i01"]
        shown = server.raster(f"/api/images/{other}/labels?min_score=0.9")
        assert not shown.any()
        assert server.raster(f"/api/images/{other}/labels").any()
        answer = server.client.put("/api/settings", json={"min_score": 0.9})
        server.wait(answer.json())
        counts = {each["name"]: each["cells"] for each in server.get("/api/images")["images"]}
        assert counts == {"i00": 4, "i01": 0, "i02": 0}
        assert server.get("/api/folder")["settings"] == {"min_score": 0.9, "min_area": None}
        assert Window(server, window.key).revision == 1
        server.wait(server.client.put("/api/settings", json={}).json())
        assert Window(server, other).cells.keys() == set(range(1, 13))
    # The same bytes as a run that had these thresholds from the start.
    paths = sorted((run_folder.parent / "images").iterdir())
    run(paths, run_folder.parent / "alone")
    ours = results(run_folder)
    for name, content in results(run_folder.parent / "alone").items():
        if not name.endswith(".json") and "i00" not in name and "/" in name:
            assert ours[name] == content, name


class Unsure(Threshold):
    """Every second square lies below the threshold."""

    def candidates(self, source):  # type: ignore[no-untyped-def]
        found = super().candidates(source)
        found.score[1::2] = 0.1
        return found


def test_a_cell_that_the_model_almost_took_is_offered(tmp_path: Path) -> None:
    run(save_images(tmp_path / "images", [4]), tmp_path / "run", predictor=Unsure())
    with Server(tmp_path / "run") as server:
        window = Window(server, server.keys["i00"])
        place = f"/api/images/{window.key}/candidates"
        found = server.get(place)["candidates"]
        assert [each["box"] for each in found] == [[1, 6, 6, 11], [1, 18, 6, 23]]
        runs = np.array(found[0]["runs"]).reshape(-1, 2)
        labels, cells = window.labels.copy(), dict(window.cells)
        for start, length in runs.tolist():
            labels.reshape(-1)[start : start + length] = window.next_cell
        cells[window.next_cell] = {"origin": "model", "type": "cort", "score": found[0]["score"]}
        window.send("add", labels, cells)
        np.testing.assert_array_equal(labels > 0, (squares(4) > 0) & (squares(4) != 4))
        assert len(server.get(place)["candidates"]) == 1


def test_every_format_is_exported_of_the_cells_as_they_are(
    server: Server, run_folder: Path
) -> None:
    window = Window(server, server.keys["i00"])
    window.delete(2)
    window.paint((30, 10, 34, 20), 9)
    refused = server.client.post("/api/jobs/export", json={"formats": ["lables"]})
    assert refused.status_code == 422
    job = server.wait(server.post("/api/jobs/export", {"formats": ["all"]}))
    folder = next((run_folder / "corrections" / "exports").iterdir())
    made = [path for path in folder.rglob("*") if path.is_file()]
    assert {*job["files"]} == {str(path.relative_to(folder)) for path in made}
    some = {"measurements.csv", "summary.csv", "results.json", "submission.csv",
            "contact_sheet.png", "overlays/i00.png", "qupath/i01.geojson"}  # fmt: skip
    assert some <= {*job["files"]}
    labels = read_label_image(folder / "labels" / "i00.tif")
    np.testing.assert_array_equal(labels, window.labels)
    rois = read_rois(folder / "imagej" / "i00.zip", SIZE)
    np.testing.assert_array_equal(rois.label_map() > 0, window.labels > 0)
    lines = (folder / "measurements.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in lines if line.startswith("i00")] == ["1", "3", "9"]
    archive = zipfile.ZipFile(
        io.BytesIO(server.client.get(f"/api/jobs/{job['id']}/archive").content)
    )
    assert len(archive.namelist()) == len(job["files"])
    assert {*FORMATS} == {each["name"] for each in server.get("/api/folder")["export_formats"]}


def test_corrections_of_a_data_set_are_stored_separately(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    save_images(tmp_path / "images", [3, 5])
    for index, count in enumerate([3, 5]):
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray(squares(count).astype(np.uint16)).save(tmp_path / f"labels/i0{index}.tif")
    before = results(tmp_path)
    with Server(tmp_path) as server:
        folder = server.get("/api/folder")
        assert (folder["kind"], bool(folder["can_apply"])) == ("dataset", True)
        server.session.survey()
        counts = {each["name"]: each["cells"] for each in server.get("/api/images")["images"]}
        assert counts == {"i00": 3, "i01": 5}
        window = Window(server, server.keys["i01"])
        assert {cell["origin"] for cell in window.cells.values()} == {"drawn"}
        assert window.reviewed.all()
        window.delete(5)
    after = results(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(open_dataset(tmp_path).instances("i01")) == 5
    assert len(open_dataset(tmp_path / "corrections").instances("i01")) == 4


def test_images_are_annotated_without_a_prediction(photos: Path) -> None:
    with Server(photos, annotate=True) as server:
        server.jobs.begin()
        server.wait(server.get("/api/jobs")["jobs"][0])
        assert server.get("/api/folder")["kind"] == "annotate"
        window = Window(server, server.keys["movie_t001"])
        assert not window.labels.any()
        window.paint((10, 10, 20, 20), 1)
        window.mark(np.ones(window.labels.shape, bool))
    dataset = open_dataset(photos / "corrections")
    assert dataset.ids == ("movie_t001",)
    assert dataset.instances("movie_t001").areas().tolist() == [100]
    np.testing.assert_array_equal(dataset.source("movie_t001").read()[0], blobs(3, seed=10))
