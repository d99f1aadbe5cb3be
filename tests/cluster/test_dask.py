"""A Dask cluster: real workers, one of which dies during its work, and refused options."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from bigkingxxl.cluster.dask import DaskEngine, SchedulerLostError, WorkersLostError
from bigkingxxl.cluster.dask_worker import TRIES, starts_file
from bigkingxxl.cluster.dispatch import Lost
from bigkingxxl.cluster.job import Done, Task
from bigkingxxl.cluster.run import Sharing, predict_job
from bigkingxxl.errors import InputError
from tests.cluster.jobs import loaded, squares_job
from tests.refusals import refused
from tests.threshold import results, save_images

distributed = pytest.importorskip("distributed")

ROOT = Path(__file__).parents[2]
# On a machine that does much else, processes take minutes to start and seconds to answer. What a
# test waits for is an event; these only end a wait for one that never comes.
SECONDS_TO_START = 900
PATIENT = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "300s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "300s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "900s",
}
COUNTS = (3, 12, 0, 7, 1, 5, 2, 4)


@pytest.fixture
def files(tmp_path: Path) -> dict[Path, str]:
    return {path: path.stem for path in save_images(tmp_path / "images", COUNTS)}


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as each:
        return each.connect_ex(("127.0.0.1", port)) == 0


class Cluster:
    """A scheduler and workers, started as a user does."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--port", str(self.port), "--host", "127.0.0.1")
        end = time.monotonic() + SECONDS_TO_START
        while not answers(self.port):
            assert self.scheduler.poll() is None, "the scheduler does not start"
            assert time.monotonic() < end, "the scheduler does not answer"
            time.sleep(0.2)

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, *options, "--no-dashboard"]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **PATIENT},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def workers(self, count: int) -> None:
        """Start workers, and wait until all of them are at work."""
        for _ in range(count):
            self._start("worker", self.address, "--nthreads", "1", "--no-nanny")
        with distributed.Client(
            self.address, timeout=SECONDS_TO_START, set_as_default=False
        ) as client:
            client.wait_for_workers(count, timeout=SECONDS_TO_START)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr("bigkingxxl.cluster.dask_cluster.SECONDS_TO_CONNECT", SECONDS_TO_START)
    found = Cluster()
    try:
        yield found
    finally:
        found.stop()


@pytest.mark.slow
@pytest.mark.cluster
def test_a_killed_worker_is_replaced_by_the_other(
    tmp_path: Path, files: dict[Path, str], cluster: Cluster
) -> None:
    predict_job(squares_job(tmp_path / "alone", tmp_path / "n1"), files, Sharing())
    cluster.workers(2)
    job = squares_job(tmp_path / "out", tmp_path / "n2", deadly=(("i03", 1),), slow=0.2)
    result = predict_job(job, files, Sharing(scheduler=cluster.address))
    assert len(list((tmp_path / "n2").glob("died-*"))) == 1
    assert [each.poll() for each in cluster.processes].count(-9) == 1
    assert result.failed == {}
    assert list(result.cells.values()) == list(COUNTS)
    assert results(tmp_path / "out") == results(tmp_path / "alone")
    assert set(loaded(tmp_path / "n2").values()) == {1}  # once per worker


@pytest.mark.slow
@pytest.mark.cluster
def test_a_cluster_of_its_own_and_an_image_that_kills(
    tmp_path: Path, files: dict[Path, str]
) -> None:
    job = squares_job(tmp_path / "out", tmp_path / "n", deadly=(("i05", 99),))
    result = predict_job(job, files, Sharing(scheduler="local:2"))
    assert list(result.failed) == ["i05"]
    assert len(result.cells) == len(COUNTS) - 1
    again = predict_job(squares_job(tmp_path / "out", tmp_path / "n"), files, Sharing())
    assert (again.failed, again.skipped) == ({}, len(COUNTS) - 1)


@pytest.mark.slow
@pytest.mark.cluster
def test_a_lost_scheduler_ends_the_run(
    tmp_path: Path, files: dict[Path, str], cluster: Cluster
) -> None:
    cluster.workers(1)
    job = squares_job(tmp_path / "out", tmp_path / "n", slow=0.5)

    def stop_after_two(items: object, *_: object) -> Iterator[object]:
        for number, item in enumerate(items, 1):  # type: ignore[var-annotated, arg-type]
            if number == 2:
                cluster.scheduler.kill()
            yield item

    with pytest.raises(SchedulerLostError):
        predict_job(job, files, Sharing(scheduler=cluster.address), stop_after_two)
    result = predict_job(squares_job(tmp_path / "out", tmp_path / "n"), files, Sharing())
    assert result.skipped >= 2
    assert result.failed == {}


@pytest.mark.slow
@pytest.mark.cluster
def test_workers_of_another_version_are_refused(
    tmp_path: Path, files: dict[Path, str], cluster: Cluster
) -> None:
    from dataclasses import replace

    cluster.workers(1)
    job = replace(squares_job(tmp_path / "out", tmp_path / "n"), version="99.0")
    with pytest.raises(InputError, match=r"99\.0"):
        predict_job(job, files, Sharing(scheduler=cluster.address))


class FutureOfADeadWorker:
    """The task is done, but the worker that held the result has gone."""

    status = "finished"

    def result(self, timeout: float) -> Done:
        raise TimeoutError


class Alone:
    """A client whose scheduler lives but has no worker left."""

    status = "running"

    def nthreads(self, callback_timeout: float) -> dict[str, int]:
        return {}


class Silent(Alone):
    """A client whose scheduler is connected, but gives no answer."""

    def nthreads(self, callback_timeout: float) -> dict[str, int]:
        raise TimeoutError(callback_timeout)


def test_workers_of_ones_own_that_all_die_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigkingxxl.cluster.dask.SECONDS_FOR_OWN_WORKERS", 0.0)
    engine = DaskEngine(Alone(), "local:2")
    with pytest.raises(WorkersLostError):
        engine._ended_task(Task(0, Path("x"), "x"), FutureOfADeadWorker())


def test_a_scheduler_that_gives_no_answer_is_lost_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bigkingxxl.cluster.dask.SECONDS_BETWEEN_UPDATES", 0.01)
    engine = DaskEngine(Silent(), "tcp://node:8786")
    assert engine.slots  # a pause does not end the run
    monkeypatch.setattr("bigkingxxl.cluster.dask.SECONDS_WITHOUT_ANSWER", 0.0)
    with pytest.raises(SchedulerLostError):
        engine.next()


class SilentFromTheStart(Silent):
    """A client whose scheduler stops as soon as the client is connected."""

    def run(self, *_: object, **__: object) -> dict[str, object]:
        Event().wait()
        return {}


class BrokenFromTheStart(Alone):
    """A client whose connection breaks."""

    def run(self, *_: object, **__: object) -> dict[str, object]:
        raise OSError("the connection is closed")


@pytest.mark.parametrize("client", [SilentFromTheStart(), BrokenFromTheStart()])
def test_a_scheduler_that_is_lost_before_the_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Alone
) -> None:
    monkeypatch.setattr("bigkingxxl.cluster.dask.SECONDS_BETWEEN_UPDATES", 0.01)
    monkeypatch.setattr("bigkingxxl.cluster.dask.SECONDS_WITHOUT_ANSWER", 0.05)
    with pytest.raises(SchedulerLostError):
        DaskEngine(client, "tcp://node:8786").begin(squares_job(tmp_path / "out", tmp_path / "n"))


@pytest.mark.parametrize(
    "address", ["local:0", "local:", "local:x", "nowhere", "tcp://127.0.0.1:1"]
)
def test_no_scheduler_there(
    tmp_path: Path, files: dict[Path, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigkingxxl.cluster.dask_cluster.SECONDS_TO_CONNECT", 1.0)
    job = squares_job(tmp_path / "out", tmp_path / "n")
    with refused(InputError, key="--scheduler", found=address):
        predict_job(job, files, Sharing(scheduler=address))
    assert not (tmp_path / "out").exists()


class KilledWorker(Exception):  # noqa: N818 - Dask's name
    """As Dask's."""


class FutureOfAKilledWorker:
    """Dask gives up on the task, because several workers died that had it."""

    status = "error"

    def result(self, timeout: float) -> Done:
        raise KilledWorker(timeout)


def test_a_task_that_only_waited_at_dying_workers_is_done_again(tmp_path: Path) -> None:
    job, task = squares_job(tmp_path / "out", tmp_path / "n"), Task(0, Path("x"), "x")
    engine = DaskEngine(Alone(), "tcp://node:8786")
    engine._job = job
    lost = engine._ended_task(task, FutureOfAKilledWorker())
    assert isinstance(lost, Lost)
    assert not lost.is_final
    begun = starts_file(job, engine._token, task)
    begun.write_bytes(b".." * TRIES)
    lost = engine._ended_task(task, FutureOfAKilledWorker())
    assert isinstance(lost, Lost)
    assert lost.is_final
    assert not begun.exists()
