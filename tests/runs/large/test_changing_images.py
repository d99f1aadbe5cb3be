"""Images that are replaced, overwritten or truncated while they are read."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.cluster.job import FINISH, Done, Job, Station, Task
from bigkingxxl.data.progress_reports import Label, Total
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import ImageContext
from bigkingxxl.io.images import open_images
from bigkingxxl.runs.folder import predict_folder, run_settings
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.pipeline import Pipeline
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import RunStore
from tests.cluster.jobs import SquaresLoading
from tests.runs.large.blobs import Blobs, contents, field, image_of, points, predict, small_blocks
from tests.runs.large.test_odd_images import ome_zarr

SOME = ("labels", "measurements", "summary")
SIZE = (150, 200)  # 3 x 4 blocks


@pytest.fixture(autouse=True)
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)


def write(path: Path, pixels: NDArray[np.uint8]) -> None:
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".zarr":
        ome_zarr(path, pixels, "yx")
    else:
        kind = {"plain": {}, "tiled": {"tile": (64, 64), "compression": "deflate"}}[path.stem]
        tifffile.imwrite(path, pixels, **kind)


NAMES = ("a.npy", "plain.tif", "tiled.tif", "a.zarr")


class Meddles(Blobs):
    """Calls a function once, at the start of a prediction."""

    def __init__(self, at: int, meddle: Callable[[], None]) -> None:
        super().__init__()
        self.at, self.meddle, self.once = at, meddle, threading.Lock()

    def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
        if self.looks + 1 >= self.at and self.once.acquire(blocking=False):
            self.meddle()
        return super().candidates_in(source, context)


def replaced(path: Path, seed: int = 5, size: tuple[int, int] = SIZE) -> None:
    """Replace an image as `mv` does."""
    other = path.parent / "new" / path.name
    other.parent.mkdir(exist_ok=True)
    write(other, image_of(field(size, 90, seed)))
    if path.is_dir():
        shutil.rmtree(path)
    other.replace(path)


def same_as_a_new_run(path: Path, out: Path) -> None:
    """Check that the next run gives the results of the file as it is now."""
    assert not predict(path, out, formats=SOME).failed
    fresh = out.with_name("fresh")
    predict(path, fresh, formats=SOME)
    assert contents(out) == contents(fresh)


@pytest.mark.parametrize(("at", "size"), [(2, SIZE), (9, (90, 140)), (9, (210, 260))])
@pytest.mark.parametrize("name", NAMES[1:])
def test_a_replaced_image_fails_and_is_done_anew(
    tmp_path: Path, name: str, at: int, size: tuple[int, int]
) -> None:
    path = tmp_path / name
    write(path, image_of(field(SIZE, 90)))
    meddler = Meddles(at, lambda: replaced(path, size=size))
    result = predict(path, tmp_path / "out", formats=SOME, predictor=meddler)
    assert list(result.failed) == [path.stem]
    same_as_a_new_run(path, tmp_path / "out")


@pytest.mark.parametrize("name", NAMES)
def test_an_image_replaced_between_its_header_and_its_pixels(tmp_path: Path, name: str) -> None:
    path, selection = tmp_path / name, Selection(points())
    write(path, image_of(field(SIZE, 90)))

    def opened_too_early(path: Path) -> Sequence[ImageSource]:
        found = open_images(path)
        replaced(path, size=(210, 260))
        return found

    settings = run_settings("k", selection, SOME, model="m")
    out = tmp_path / "out"
    pipeline = Pipeline(settings, selection, Blobs())
    result = predict_folder(pipeline, [path], opened_too_early, out)
    assert list(result.failed) == [path.stem]
    same_as_a_new_run(path, out)


def test_a_small_image_replaced_while_it_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigkingxxl.runs.large.grid.ABOVE", 10**6)
    path = tmp_path / "plain.tif"
    write(path, image_of(field(SIZE, 90)))

    class After(Blobs):
        def candidates_in(self, source: ImageSource, context: ImageContext) -> Candidates:
            found = super().candidates_in(source, context)
            replaced(path)
            return found

    result = predict(path, tmp_path / "out", formats=SOME, predictor=After())
    assert list(result.failed) == ["plain"]
    same_as_a_new_run(path, tmp_path / "out")


def test_pixels_overwritten_under_the_old_time_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    write(path, image_of(field(SIZE, 90)))

    def overwrite() -> None:
        before = path.stat()
        pixels = tifffile.memmap(path)
        pixels[:] = image_of(field(SIZE, 90, 5))
        pixels.flush()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    result = predict(path, tmp_path / "out", formats=SOME, predictor=Meddles(9, overwrite))
    assert list(result.failed) == ["plain"]


@pytest.mark.parametrize("name", NAMES[:-1])
def test_a_truncated_image_fails_in_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path, image_of(field(SIZE, 90)))
    whole = path.read_bytes()
    meddler = Meddles(9, lambda: os.truncate(path, len(whole) // 3))
    result = predict(path, tmp_path / "out", formats=SOME, predictor=meddler)
    assert list(result.failed) == [path.stem]
    path.write_bytes(whole)
    same_as_a_new_run(path, tmp_path / "out")


# ---- several processes ---------------------------------------------------------------------------


class BlobsLoading(SquaresLoading):
    """Loads the detector of blobs."""

    def load(self):  # type: ignore[no-untyped-def]
        return Blobs(), super().load()[1]


def station(out: Path) -> Station:
    selection, reading = Selection(points()), OpenOptions()
    settings = run_settings("k", selection, SOME, model="m", reading=reading.as_json())
    notes = out.with_name("notes")
    notes.mkdir(exist_ok=True)
    job = Job(out, settings, selection, reading, BlobsLoading((), (), notes=notes))
    RunStore(out).begin(settings)
    return Station(job)


def tasks_of(done: Done) -> list[Task]:
    """The tasks of the blocks of an image, as they are handed out after it was opened."""
    (part,) = done.parts
    first = replace(done.task, image=0, part_name=part.name, state=done.state)
    return [replace(first, block=block) for block in range(part.units)]


@pytest.mark.parametrize("size", [SIZE, (90, 140)])
@pytest.mark.parametrize("name", NAMES)
def test_workers_that_opened_the_old_and_the_new_image_do_not_mix_them(
    tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    path, out = tmp_path / name, tmp_path / "out"
    write(path, image_of(field(SIZE, 90)))
    one, other = station(out), station(out)
    tasks = tasks_of(one.do(Task(0, path, path.stem)))
    assert [one.do(task).outcome for task in tasks[:5]] == [None] * 5
    replaced(path, size=size)
    for each in (other, one):
        outcomes = [each.do(task).outcome for task in [*tasks[5:], replace(tasks[0], block=FINISH)]]
        assert [outcome.image for outcome in outcomes if outcome and outcome.failure] == (
            [path.stem] * len(outcomes)
        )
    same_as_a_new_run(path, out)


def test_an_image_replaced_while_its_files_are_written(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    write(path, image_of(field(SIZE, 90)))

    def track(items: Iterable[Any], _: Total, label: Label) -> Iterable[Any]:
        if not callable(label) and label.endswith("files"):
            replaced(path)
        return items

    result = predict(path, tmp_path / "out", formats=SOME, track=track)
    assert list(result.failed) == ["plain"]
    same_as_a_new_run(path, tmp_path / "out")
