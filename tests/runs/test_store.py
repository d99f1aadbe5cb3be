"""A run's folder stays consistent, whoever writes it and whenever they are killed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from bigkingxxl.errors import InputError, OutputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.imagej import read_rois
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.folder import predict_folder, run_settings
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.pipeline import Pipeline, RunImage
from bigkingxxl.runs.reader import open_run
from bigkingxxl.runs.remeasure import remeasure
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.small_image import predict_one
from bigkingxxl.runs.store import RunSettings, RunStore
from bigkingxxl.runs.tables import make_tables
from tests.refusals import refused
from tests.threshold import (
    SIZE,
    Threshold,
    pixels,
    results,
    run,
    save_images,
    squares,
)

COUNTS = (3, 12, 0, 7, 1, 5)
ROOT = Path(__file__).parents[2]
Started = Callable[..., "subprocess.Popen[str]"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def start(images: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    command = [sys.executable, "-m", "tests.threshold", str(images), str(out), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def ended(process: subprocess.Popen[str]) -> int:
    _, told = process.communicate(timeout=120)
    assert process.returncode in (0, -9), told
    return process.returncode


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return save_images(tmp_path / "images", COUNTS)


# ---- processes and kills -------------------------------------------------------------------------


def finished(folder: Path) -> set[Path]:
    """The files that were written completely."""
    return {path for path in folder.rglob("*.json") if not path.name.startswith(".")}


@pytest.mark.parametrize("moment", ["network", "record", "table"])
def test_a_killed_process_does_not_change_the_results(
    tmp_path: Path, images: list[Path], moment: str
) -> None:
    run(images, tmp_path / "alone")
    folder, out = images[0].parent, tmp_path / "out"
    # If one dies alone, only the unit in progress is lost.
    assert ended(start(folder, out, "--die", moment)) == -9
    before = finished(out / "records")
    both = [start(folder, out, "--die", moment, "--slow", "0.05"), start(folder, out)]
    assert ended(both[1]) == 0
    ended(both[0])
    assert before <= finished(out / "records")
    predictor = Threshold()
    result = run(images, out, predictor=predictor)
    assert predictor.asked == []
    assert result.skipped == len(images)
    assert result.kept == []
    assert results(out) == results(tmp_path / "alone")


def test_two_processes_with_half_of_the_images_each(tmp_path: Path, images: list[Path]) -> None:
    run(images, tmp_path / "alone")
    halves = [tmp_path / "half 0", tmp_path / "half 1"]
    for index, half in enumerate(halves):
        half.mkdir()
        for path in images[index::2]:
            path.rename(half / path.name)
    processes = [start(half, tmp_path / "out", "--slow", "0.02") for half in halves]
    assert [ended(each) for each in processes] == [0, 0]
    together, alone = results(tmp_path / "out"), results(tmp_path / "alone")
    assert together.keys() == alone.keys()
    # Cellpose's files contain the path of the image.
    different = {name for name in alone if alone[name] != together[name]}
    assert {name.split("/")[0] for name in different} <= {"cellpose"}


def test_processes_share_the_work(tmp_path: Path, images: list[Path]) -> None:
    both = [start(images[0].parent, tmp_path / "out", "--slow", "0.5") for _ in range(2)]
    told = [each.communicate(timeout=120) for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    counts = [list(map(int, out.split())) for out, _ in told]
    assert [each[0] for each in counts] == [len(images)] * 2
    assert sum(each[1] for each in counts) == len(images)  # each image was done by one of them


def test_another_model_is_refused_during_a_run(tmp_path: Path, images: list[Path]) -> None:
    out = tmp_path / "out"
    run(images, out)
    store = RunStore(out)
    before = (out / "run.json").read_bytes()
    with store.at_work(RunSettings("another", "another")):
        working = (out / "run.json").read_bytes()
        with refused(InputError, file=out, key="--out"):
            run(images, out)
        assert (out / "run.json").read_bytes() == working != before
    assert run(images, out).skipped == len(images)


def test_temporary_files_of_dead_processes_are_removed(tmp_path: Path, images: list[Path]) -> None:
    run(images, tmp_path / "out")
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    code = (
        "from pathlib import Path; from bigkingxxl.files import temporary_beside;"
        f"temporary_beside(Path({str(tmp_path / 'out' / 'labels' / 'x.tif')!r})).write_bytes(b'x');"
        f"temporary_beside(Path({str(tmp_path / 'out' / 'results.json')!r})).write_bytes(b'x')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert len(list((tmp_path / "out").rglob(".*.part*"))) == 2
    run(images, tmp_path / "out")
    assert not list((tmp_path / "out").rglob(".*.part*"))


# ---- another model, other settings, other images -------------------------------------------------


def test_a_second_model_replaces_all_results_of_the_first(
    tmp_path: Path, images: list[Path]
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    run(images, out, model="first", key="first")
    second: dict[str, Any] = {"model": "second", "key": "second"}
    result = run(images, out, "labels", predictor=Threshold(score=0.5), **second)
    assert result.skipped == 0
    run(images, fresh, predictor=Threshold(score=0.5), **second)
    assert results(out) == results(fresh)
    assert {row["model"] for row in rows_of(out / "summary.csv")} == {"second"}
    assert {row["score"] for row in rows_of(out / "measurements.csv")} == {"0.5"}


def test_other_thresholds_ask_no_network(tmp_path: Path, images: list[Path]) -> None:
    out, predictor = tmp_path / "out", Threshold()
    run(images, out, predictor=predictor)
    strict = Selection(OperatingPoints(), min_score=0.9)
    assert set(run(images, out, predictor=predictor, selection=strict).cells.values()) == {0}
    assert len(predictor.asked) == len(images)
    assert rows_of(out / "measurements.csv") == []
    assert (out / "results.json").read_bytes().count(b"image_id") == sum(COUNTS)


def test_images_of_another_model_are_reported_and_in_no_table(
    tmp_path: Path, images: list[Path]
) -> None:
    out = tmp_path / "out"
    run(images[:2], out, key="first")
    result = run(images[2:], out, key="second")
    assert result.tables.others == ["i00", "i01"]
    assert [row["image"] for row in rows_of(out / "summary.csv")] == ["i02", "i03", "i04", "i05"]


def test_missing_images_are_reported_and_in_no_table(tmp_path: Path, images: list[Path]) -> None:
    out = tmp_path / "out"
    run(images, out)
    images[1].unlink()
    result = run([path for path in images if path.exists()], out)
    assert result.tables.gone == ["i01"]
    assert "i01" not in {row["image"] for row in rows_of(out / "summary.csv")}
    assert (out / "labels" / "i01.tif").is_file()


def test_a_run_over_more_images_has_them_all_in_its_tables(
    tmp_path: Path, images: list[Path]
) -> None:
    run(images[:3], tmp_path / "out")
    result = run(images[3:], tmp_path / "out", "labels")
    assert result.tables.incomplete == {}
    run(images, tmp_path / "alone")
    assert results(tmp_path / "out") == results(tmp_path / "alone")


def test_an_image_whose_pixels_changed_is_done_again(tmp_path: Path, images: list[Path]) -> None:
    out, predictor = tmp_path / "out", Threshold()
    run(images, out)
    before = images[1].stat()
    Image.fromarray(pixels(4)).save(images[1])
    images[0].touch()  # another time, the same content
    assert images[0].stat().st_mtime_ns != before.st_mtime_ns
    assert run(images, out, predictor=predictor).cells["i01"] == 4
    assert predictor.asked == ["i01"]


def test_names_that_a_file_no_longer_has_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, pixels(2), photometric="minisblack")
    out = tmp_path / "out"
    run([path], out)
    tifffile.imwrite(path, np.stack([pixels(2), pixels(5)]), photometric="minisblack")
    result = run([path], out)
    assert result.removed > 0
    assert sorted(each.name for each in (out / "labels").iterdir()) == [
        "movie_t000.tif", "movie_t001.tif",
    ]  # fmt: skip
    assert len(rows_of(out / "summary.csv")) == 2
    # A file that cannot be read today, such as on a share that is offline, loses nothing.
    path.write_bytes(b"")
    assert list(run([path], out).failed) == ["movie"]
    assert len(remeasure(out).failed) == 1
    assert len(list((out / "labels").iterdir())) == 2


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, np.stack([pixels(count) for count in COUNTS]), photometric="minisblack")
    return path


def test_frames_predicted_separately_equal_all_at_once(tmp_path: Path, movie: Path) -> None:
    out = tmp_path / "out"
    for frames in ("4", "0:2", "2:4", "3:6"):
        assert run([movie], out, frames=frames).removed == 0
    assert run([movie], out).skipped == len(COUNTS)
    run([movie], tmp_path / "alone")
    assert results(out) == results(tmp_path / "alone")
    # Candidates of the file's earlier content are removed, whichever frames are asked for.
    tifffile.imwrite(
        movie, np.stack([pixels(count) for count in (1, 2, 3)]), photometric="minisblack"
    )
    assert run([movie], out, frames="1").removed > 0
    assert [each.name for each in (out / "labels").iterdir()] == ["movie_t001.tif"]


def test_frames_of_an_earlier_run_are_measured_and_opened(
    tmp_path: Path, movie: Path, images: list[Path]
) -> None:
    out = tmp_path / "out"
    run([movie], out)
    run(images, out, frames="0")
    correct(out / "labels" / "movie_t001.tif")
    result = remeasure(out)
    assert result.failed == {}
    assert result.cells.keys() == open_run(out).keys()
    assert len([row for row in rows_of(out / "measurements.csv") if row["image"] == "movie_t001"]) \
        == 12  # fmt: skip
    assert open_run(out)["movie_t003"].source.shape == SIZE


def test_another_image_with_the_same_name_is_reported(tmp_path: Path, images: list[Path]) -> None:
    out = tmp_path / "out"
    run(images, out)
    others = save_images(tmp_path / "others", COUNTS[::-1])
    result = run(others[:2], out)
    assert result.replaced == {"i00": images[0], "i01": images[1]}
    # A copy is no other image.
    copies = save_images(tmp_path / "copies", COUNTS[::-1])
    assert run(copies[:2], out).replaced == {}


# ---- one image costs one image -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [(MemoryError(), "not enough memory"), (ZeroDivisionError("by zero"), "ZeroDivisionError")],
)
def test_an_error_affects_only_its_image(
    tmp_path: Path, images: list[Path], error: Exception, words: str
) -> None:
    class Fails(Threshold):
        def candidates(self, source: Any) -> Any:
            if source.name == "i01":
                raise error
            return super().candidates(source)

    out = tmp_path / "out"
    result = run(images, out, predictor=Fails())
    assert list(result.failed) == ["i01"]
    assert words in result.failed["i01"]
    assert str(images[1]) in result.failed["i01"]
    table = {row["image"]: row for row in rows_of(out / "summary.csv")}
    assert (table["i01"]["cells"], table["i01"]["failure"]) == ("", result.failed["i01"])
    assert table["i00"]["cells"] == "3"
    assert len(rows_of(out / "measurements.csv")) == sum(COUNTS) - COUNTS[1]
    assert open_run(out).failed == result.failed
    # It is tried again, and then no trace of the failure is left.
    assert run(images, out).failed == {}
    run(images, tmp_path / "alone")
    assert results(out) == results(tmp_path / "alone")


def test_a_failure_with_a_new_model_removes_old_results(tmp_path: Path, images: list[Path]) -> None:
    out = tmp_path / "out"
    run(images, out, key="first")
    images[1].write_bytes(b"broken")
    run(images, out, key="second")
    assert not (out / "labels" / "i01.tif").exists()
    assert not (out / "overlays" / "i01.png").exists()
    assert (out / "labels" / "i00.tif").exists()


def test_a_disk_that_is_full_ends_the_run(
    tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with refused(OutputError):
        run(images, tmp_path / "out")


# ---- corrected by hand ---------------------------------------------------------------------------


def correct(path: Path) -> np.ndarray:
    """Remove the third cell of a label image, enlarge the first, and add one."""
    labels = read_label_image(path)
    labels[labels == 3] = 0
    labels[0:6, 0:5] = 1
    labels[30:35, 30:39] = 99
    Image.fromarray(labels.astype(np.uint16)).save(path)
    return labels


def test_a_corrected_label_image_is_kept_and_used(tmp_path: Path, images: list[Path]) -> None:
    out = tmp_path / "out"
    run(images, out)
    place = out / "labels" / "i01.tif"
    labels = correct(place)
    kept = place.read_bytes()
    for key in ("k", "another model"):
        result = run(images, out, key=key)
        assert result.kept == [place]
        assert result.corrected == {"i01": "labels"}
        assert place.read_bytes() == kept
        assert result.cells["i01"] == 12
        rows = [row for row in rows_of(out / "measurements.csv") if row["image"] == "i01"]
        assert [int(row["id"]) for row in rows] == [1, 2, *range(4, 13), 99]
        assert [row["area"] for row in rows] == ["30", *["25"] * 10, "45"]
        assert {row["type"] for row in rows} == {"cort"}
        scores = {row["id"]: row["score"] for row in rows}
        assert (scores["1"], scores["2"], scores["99"]) == ("", "0.75", "")
        rois = read_rois(out / "imagej" / "i01.zip", SIZE)
        assert np.array_equal(rois.label_map() > 0, labels > 0)
        json.loads((out / "qupath" / "i01.geojson").read_text(), parse_constant=pytest.fail)
        assert len(rows_of(out / "submission.csv")) == sum(COUNTS) + 1  # a blank one
    run(images, out, overwrite=True)
    run(images, tmp_path / "alone")
    assert results(out) == results(tmp_path / "alone")


def test_measuring_unchanged_images_changes_nothing(tmp_path: Path, images: list[Path]) -> None:
    run(images, tmp_path / "out", "labels", "overlay")
    remeasure(tmp_path / "out", ["imagej"])
    run(images, tmp_path / "alone", "labels", "overlay", "measurements", "summary", "imagej")
    assert results(tmp_path / "out") == results(tmp_path / "alone")


def test_measuring_uses_corrections(tmp_path: Path, images: list[Path]) -> None:
    out = tmp_path / "out"
    run(images, out)
    before = results(out)
    labels = correct(out / "labels" / "i01.tif")
    result = remeasure(out)
    assert not result.failed
    after = results(out)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        "labels/i01.tif", "overlays/i01.png", "measurements/i01.csv", "thumbnails/i01.png",
        "imagej/i01.zip", "qupath/i01.geojson", "cellpose/i01_seg.npy",
        "parts/submission/i01.csv", "measurements.csv", "measurements.parquet", "summary.csv",
        "submission.csv",
    } | ({"contact_sheet.png"} & changed)  # fmt: skip
    image = open_run(out)["i01"]
    assert np.array_equal(image.label_map(), labels)
    assert image.measurements()["id"].tolist() == [1, 2, *range(4, 13), 99]
    # A later prediction finds everything done.
    assert run(images, out).skipped == len(images)
    assert results(out) == after


def test_a_label_image_without_an_image_is_reported(tmp_path: Path, images: list[Path]) -> None:
    run(images, tmp_path / "out")
    Image.fromarray(np.zeros((3, 4), np.uint16)).save(tmp_path / "out" / "labels" / "i01.tif")
    result = remeasure(tmp_path / "out")
    assert list(result.failed) == ["i01"]
    assert "4 x 3" in result.failed["i01"]


def test_an_image_that_changed_is_not_measured(tmp_path: Path, images: list[Path]) -> None:
    run(images, tmp_path / "out")
    Image.fromarray(pixels(4)).save(images[1])
    result = remeasure(tmp_path / "out")
    assert list(result.failed) == ["i01"]
    assert "changed since its cells were found" in result.failed["i01"]


def test_a_corrected_label_image_is_not_mistaken_for_an_image(
    tmp_path: Path, images: list[Path]
) -> None:
    out = tmp_path / "out"
    run(images, out)
    place = out / "labels" / "i01.tif"
    correct(place)
    kept = place.read_bytes()
    Image.fromarray(pixels(4)).save(images[1])
    result = run(images, out)
    assert list(result.failed) == ["i01"]
    assert str(place) in result.failed["i01"]
    assert place.read_bytes() == kept
    assert "i01" not in {row["image"] for row in rows_of(out / "measurements.csv")}
    # Restored after another prediction, it is a correction of the new image.
    place.unlink()
    assert run(images, out).cells["i01"] == 4
    place.write_bytes(kept)
    assert run(images, out).corrected == {"i01": "labels"}
    assert run(images, out, overwrite=True).cells["i01"] == 4


@pytest.mark.parametrize("name", ["summary.csv", "overlays/i01.png", "measurements.csv"])
def test_other_files_that_a_person_changed_are_kept(
    tmp_path: Path, images: list[Path], name: str
) -> None:
    out = tmp_path / "out"
    run(images, out)
    before = results(out)
    (out / name).write_bytes(b"mine")
    assert run(images, out).kept == [out / name]
    result = run(images, out, selection=Selection(OperatingPoints(), min_score=0.9))
    assert result.kept == [out / name]
    assert (out / name).read_bytes() == b"mine"
    run(images, out, overwrite=True)
    assert results(out) == before


def test_files_that_no_run_wrote_are_kept(tmp_path: Path, images: list[Path]) -> None:
    mine = tmp_path / "out" / "labels" / "i01.tif"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    result = run(images, tmp_path / "out")
    assert result.kept == [mine]
    assert result.corrected == {}  # its origin is unknown: nothing is made of it
    assert result.cells["i01"] == COUNTS[1]
    assert mine.read_bytes() == b"mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_instead_of_the_settings_does_not_block(tmp_path: Path, images: list[Path]) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "run.json")
    with refused(OutputError, file="run.json"):
        run(images, tmp_path / "out")


def test_a_file_of_another_programs_run_is_kept(tmp_path: Path, images: list[Path]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text('{"theirs": 1}')
    with pytest.raises(OutputError, match=r"run\.json"):
        run(images, tmp_path / "out")
    assert (tmp_path / "out" / "run.json").read_text() == '{"theirs": 1}'


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"image": "i01", "kind": "summary"}'])
def test_a_damaged_record_is_ignored(tmp_path: Path, images: list[Path], content: str) -> None:
    out = tmp_path / "out"
    run(images, out)
    (out / "records" / "summary" / "i01.json").write_text(content)
    assert run(images, out).skipped == len(images) - 1
    run(images, tmp_path / "alone")
    assert results(out) == results(tmp_path / "alone")


# ---- the pieces by themselves --------------------------------------------------------------------


def test_units_and_tables_one_by_one(tmp_path: Path, images: list[Path]) -> None:
    """As on a cluster: units anywhere, in any order, then the tables from the records."""
    run(images, tmp_path / "alone")
    selection = Selection(OperatingPoints())
    store = RunStore(tmp_path / "out")
    reading = OpenOptions()
    settings = store.begin(run_settings("k", selection, ["all"], model="abc123",
                                        reading=reading.as_json()))  # fmt: skip
    pipeline = Pipeline(settings, selection, Threshold())
    for path in reversed(images):
        outcome = predict_one(store, pipeline, RunImage(reading.open(path)[0], path))
        assert outcome is not None
        assert outcome.is_new
    assert not (tmp_path / "out" / "summary.csv").exists()
    make_tables(RunStore(tmp_path / "out"))
    assert results(tmp_path / "out") == results(tmp_path / "alone")


def test_a_run_is_read(tmp_path: Path, images: list[Path]) -> None:
    run(images, tmp_path / "out")
    found = open_run(tmp_path / "out")
    assert found.images == tuple(f"i{index:02d}" for index in range(len(images)))
    image = found["i01"]
    assert np.array_equal(image.label_map(), squares(12))
    assert isinstance(image.cells, Instances)
    assert image.cells.type_names == ("astro", "cort")
    assert len(image.candidates) == image.summary.cells == 12
    assert image.path == images[1]
    assert np.array_equal(image.source.read()[0], pixels(12))
    table = dict(found.measurements())["i01"]
    assert table["intensity_mean"].tolist() == [200] * 12
    assert len(repr(image)) < 50 + len(str(image.path))
    assert "12 cells" in repr(image.cells)
    assert found.get("i99") is None
    with pytest.raises(KeyError, match="i99"):
        found["i99"]
    with pytest.raises(InputError, match=r"run\.json"):
        open_run(tmp_path)


def test_one_selection_an_image(
    tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    select, asked = Selection.instances, list[object]()

    def counted(self: Selection, *arguments: Any) -> Instances:
        asked.append(arguments)
        return select(self, *arguments)

    monkeypatch.setattr(Selection, "instances", counted)
    run(images, tmp_path / "out")
    run(images, tmp_path / "out", "labels")
    assert len(asked) == len(images)


def test_nothing_to_predict_is_reported(tmp_path: Path) -> None:
    selection = Selection(OperatingPoints())
    settings = run_settings("k", selection, ["labels"])
    pipeline = Pipeline(settings, selection, Threshold())
    result = predict_folder(pipeline, [], OpenOptions().open, tmp_path / "out")
    assert result.cells == {}


def test_the_images_of_a_series_in_a_folder_are_found_again(tmp_path: Path) -> None:
    """Under names that contain their folder, each with its own plane."""
    path = tmp_path / "A1" / "movie.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.stack([pixels(2), pixels(5)]), photometric="minisblack")
    reading, out = OpenOptions(), tmp_path / "out"
    selection = Selection(OperatingPoints())
    settings = run_settings("k", selection, ["measurements"], reading=reading.as_json())
    pipeline = Pipeline(settings, selection, Threshold())
    predict_folder(pipeline, [path], lambda each: reading.open(each, "A1/movie"), out)
    found = open_run(out)
    assert found.images == ("A1/movie_t000", "A1/movie_t001")
    for name, count in zip(found, (2, 5), strict=True):
        assert np.array_equal(found[name].source.read()[0], pixels(count))
    (out / "measurements" / "A1" / "movie_t001.csv").unlink()
    assert remeasure(out).cells == {"A1/movie_t000": 2, "A1/movie_t001": 5}
    assert (out / "measurements" / "A1" / "movie_t001.csv").is_file()
