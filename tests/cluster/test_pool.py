"""Local processes: the same results as one, whatever happens to some of them."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from itertools import count
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bigkingxxl.cluster.job import Task
from bigkingxxl.cluster.pool import NoProcessError, Pool, fitting, worthwhile
from bigkingxxl.cluster.run import Sharing, predict_job
from bigkingxxl.errors import InputError, OutputError
from bigkingxxl.runs.deadline import Deadline
from bigkingxxl.runs.shards import Shard
from bigkingxxl.runs.store import RunStore
from bigkingxxl.runs.tables import make_tables
from tests.cluster.jobs import ends_at_once, loaded, squares_job
from tests.refusals import refused
from tests.threshold import pixels, results, save_images

COUNTS = (3, 12, 0, 7, 1, 5, 2)


@pytest.fixture
def files(tmp_path: Path) -> dict[Path, str]:
    """Seven images, a file that is no image, and a time-lapse."""
    paths = save_images(tmp_path / "images", COUNTS)
    broken, movie = tmp_path / "images" / "broken.png", tmp_path / "images" / "movie.tif"
    broken.write_bytes(b"no image")
    tifffile.imwrite(movie, np.stack([pixels(count) for count in (4, 0, 6, 9)]),
                     photometric="minisblack", metadata={"axes": "TYX"})  # fmt: skip
    return {path: path.stem for path in sorted([*paths, broken, movie])}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[SpawnProcess]:
    """The processes that are started in a test."""
    found = list[SpawnProcess]()
    start = SpawnProcess.start

    def noted(process: SpawnProcess) -> None:
        found.append(process)
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", noted)
    return found


def test_two_processes_write_what_one_does(tmp_path: Path, files: dict[Path, str]) -> None:
    alone = predict_job(squares_job(tmp_path / "alone", tmp_path / "n1"), files, Sharing())
    job = squares_job(tmp_path / "two", tmp_path / "n2")
    two = predict_job(job, files, Sharing(workers=2))
    assert list(alone.failed) == ["broken"]
    assert len(alone.cells) == 11
    assert list(two.cells.items()) == list(alone.cells.items())
    assert two.failed == alone.failed
    assert results(tmp_path / "two") == results(tmp_path / "alone")
    assert sorted(loaded(tmp_path / "n2").values()) == [1, 1]
    again = predict_job(job, files, Sharing(workers=2))
    assert (again.skipped, again.cells) == (11, two.cells)


def test_a_crashed_process_is_replaced_and_costs_only_time(
    tmp_path: Path, files: dict[Path, str], started: list[SpawnProcess]
) -> None:
    alone = predict_job(squares_job(tmp_path / "alone", tmp_path / "n1"), files, Sharing())
    frame = [name for name in alone.cells if name.startswith("movie")][2]
    deadly = (("i03", 1), (frame, 1))
    job = squares_job(tmp_path / "two", tmp_path / "n2", deadly=deadly, how="SIGSEGV")
    result = predict_job(job, files, Sharing(workers=2))
    assert len(list((tmp_path / "n2").glob("died-*"))) == 2
    assert len(started) == 4
    assert list(result.failed) == ["broken"]
    assert results(tmp_path / "two") == results(tmp_path / "alone")


def test_an_image_that_kills_every_process_fails_and_the_others_are_done(
    tmp_path: Path, files: dict[Path, str], started: list[SpawnProcess]
) -> None:
    job = squares_job(tmp_path / "out", tmp_path / "n", deadly=(("i03", 99),))
    result = predict_job(job, files, Sharing(workers=2))
    assert list(result.failed) == ["broken", "i03"]
    assert "SIGKILL" in result.failed["i03"]
    assert len(started) == 3  # for two there was perhaps no memory
    assert len(result.cells) == 10
    # The folder records it too, and the next run tries it again.
    assert "i03" in make_tables(RunStore(tmp_path / "out")).failed
    job = squares_job(tmp_path / "out", tmp_path / "n")
    assert list(predict_job(job, files, Sharing()).failed) == ["broken"]


def test_an_error_that_would_meet_all_ends_the_run(tmp_path: Path, files: dict[Path, str]) -> None:
    job = squares_job(tmp_path / "out", tmp_path / "n", full=True)
    with refused(OutputError):
        predict_job(job, files, Sharing(workers=2))
    # No process continued: each tried one unit.
    asked = [path.read_text().count("\n") for path in (tmp_path / "n").glob("asked-*")]
    assert sum(asked) <= 2


def test_workers_refuse_another_run(tmp_path: Path, files: dict[Path, str]) -> None:
    job, other = (squares_job(tmp_path / "out", tmp_path / "n", key) for key in ("k", "other"))
    store = RunStore(tmp_path / "out")
    store.begin(other.settings)
    with Pool(1) as pool, refused(InputError, tmp_path / "out"):
        pool.begin(job)
        path = next(iter(files))
        pool.submit(Task(0, path, path.stem))
        pool.next()


def test_shards_and_workers_and_a_deadline_together(tmp_path: Path, files: dict[Path, str]) -> None:
    predict_job(squares_job(tmp_path / "alone", tmp_path / "n1"), files, Sharing())
    job = squares_job(tmp_path / "out", tmp_path / "n2")
    late = Sharing(2, shard=Shard(1, 2), deadline=Deadline(1e-9))
    stopped = predict_job(job, files, late)
    assert stopped.stopped
    assert stopped.left == len(files)
    assert stopped.cells == {}
    for number in (1, 2):
        part = predict_job(job, files, Sharing(2, shard=Shard(number, 2)))
        assert part.is_part
        assert not (tmp_path / "out" / "summary.csv").exists()
    tables = make_tables(RunStore(tmp_path / "out"))
    assert tables.unfinished.numbers == ()
    assert results(tmp_path / "out") == results(tmp_path / "alone")


def test_no_more_workers_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigkingxxl.cluster.pool.free_bytes", lambda: 2 * 2**30)
    assert fitting(8, 100) == 2
    assert fitting(2, 100) == 2
    monkeypatch.setattr("bigkingxxl.cluster.pool.free_bytes", lambda: 2**20)
    assert fitting(8, 100) == 1


@pytest.mark.parametrize(
    ("threads", "files", "expected"), [("4", 7, 1), ("4", 16, 2), ("4", 1000, 4), ("1", 1000, 1)]
)
def test_as_many_processes_as_are_worthwhile(
    monkeypatch: pytest.MonkeyPatch, threads: str, files: int, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr("bigkingxxl.cluster.pool.cores", lambda: 4)
    monkeypatch.setattr("bigkingxxl.cluster.pool.free_bytes", lambda: 2**40)
    assert worthwhile(files) == expected


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores and memory for two processes."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr("bigkingxxl.cluster.pool.cores", lambda: 2)
    monkeypatch.setattr("bigkingxxl.cluster.pool.free_bytes", lambda: 2**40)


@pytest.mark.usefixtures("two_cores")
def test_images_that_are_done_need_no_processes(tmp_path: Path) -> None:
    paths = save_images(tmp_path / "images", (3,) * 24)
    files = {path: path.stem for path in paths}
    job = squares_job(tmp_path / "out", tmp_path / "n")
    assert Sharing().processes(job, files) == 2
    predict_job(job, dict([*files.items()][:10]), Sharing(1))
    assert Sharing().processes(job, files) == 1  # 14 images are left
    assert Sharing(2).processes(job, files) == 2
    other = replace(job, settings=replace(job.settings, run="another"))
    assert Sharing().processes(other, files) == 2
    for path in paths[:2]:
        path.write_bytes(path.read_bytes() + b"more")
    assert Sharing().processes(job, files) == 2


@pytest.mark.usefixtures("two_cores")
def test_a_run_whose_processes_cannot_start_is_done_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path: path.stem for path in save_images(tmp_path / "images", (3,) * 16)}
    # As in a script that is not protected by `if __name__ == "__main__"`.
    monkeypatch.setattr("bigkingxxl.cluster.pool._work", ends_at_once)
    job = squares_job(tmp_path / "out", tmp_path / "n")
    assert len(predict_job(job, files, Sharing()).cells) == 16
    assert [*loaded(tmp_path / "n")] == [os.getpid()]


def test_a_system_without_further_processes(
    tmp_path: Path, files: dict[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = SpawnProcess.start
    numbers = count(1)

    def limited(process: SpawnProcess) -> None:
        if next(numbers) != 2:
            raise BlockingIOError(errno.EAGAIN, "no further process")
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", limited)
    with refused(NoProcessError):
        predict_job(squares_job(tmp_path / "none", tmp_path / "n1"), files, Sharing(2))
    result = predict_job(squares_job(tmp_path / "out", tmp_path / "n2"), files, Sharing(2))
    assert len(result.cells) == 11
    assert len(loaded(tmp_path / "n2")) == 1


@pytest.mark.usefixtures("two_cores")
def test_many_images_are_shared_by_default(tmp_path: Path) -> None:
    paths = save_images(tmp_path / "images", (3,) * 16)
    files = {path: path.stem for path in paths}
    job = squares_job(tmp_path / "out", tmp_path / "n")
    assert len(predict_job(job, files, Sharing()).cells) == 16
    assert len(loaded(tmp_path / "n")) == 2
    # Other shards may run beside it, and the first images alone do not need two processes.
    for number, (some, sharing) in enumerate(
        [(files, Sharing(shard=Shard(0, 2))), (dict([*files.items()][:8]), Sharing())]
    ):
        notes = tmp_path / f"n{number}"
        predict_job(squares_job(tmp_path / f"out{number}", notes), some, sharing)
        assert len(loaded(notes)) == 1


def test_workers_of_two_kinds_are_refused() -> None:
    with refused(InputError, key="--workers", expected=("--workers", "--scheduler")):
        Sharing(workers=2, scheduler="local:2").check()
