"""What a Dask worker does: check whether it can do a job, and do the tasks of the job.

The models are loaded once per worker, by its first task.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from bigkingxxl.cluster.job import Done, Job, Station, Task
from bigkingxxl.errors import InputError
from bigkingxxl.provenance import versions
from bigkingxxl.runs.store import LOCKS

TRIES = 3  # workers that may die during a task; Dask also counts tasks that only waited there
# The versions that may affect the last digits of results.
SAME_DIGITS = ("onnxruntime", "numpy", "scikit-image")


def digits() -> tuple[str, ...]:
    """Return the versions here of what may affect the last digits of results."""
    found = versions()
    return tuple(found.get(name, "") for name in SAME_DIGITS)


def probe(job: Job) -> tuple[str, ...]:
    """Check on a worker whether it can do a job.

    Raises:
        InputError: It cannot.
    """
    Station(job).check()
    return digits()


_stations: dict[str, Station] = {}
_lock = Lock()


def do_task(job: Job, token: str, task: Task) -> Done | None:
    """Do a task on a worker, with models that are already loaded.

    Returns:
        What became of it; None if it is not tried again, because several workers died during it.
    """
    with _lock:
        if token not in _stations:
            _stations.clear()  # of an earlier run
            _stations[token] = _station(job)
        station = _stations[token]
    if starts(job, token, task) >= TRIES:
        return None
    place = starts_file(job, token, task)
    with suppress(OSError), place.open("ab") as stream:  # it only helps to find deadly tasks
        stream.write(b".")
    try:
        return station.do(task)
    finally:
        place.unlink(missing_ok=True)


def starts_file(job: Job, token: str, task: Task) -> Path:
    """Return the file of a task that has a byte for each time that it was begun."""
    place = job.out / LOCKS / f"started-{token}-{task.file}-{task.image}-{task.block}"
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def starts(job: Job, token: str, task: Task) -> int:
    """Return how often a task was begun but not ended."""
    try:
        return starts_file(job, token, task).stat().st_size
    except OSError:
        return 0


def _station(job: Job) -> Station:
    """Return a station; errors name the worker, which may have joined after `begin`."""
    try:
        station = Station(job)
        station.check()
    except InputError as error:
        distributed: Any = importlib.import_module("distributed")
        raise InputError(f"the worker {distributed.get_worker().address}: {error}") from error
    return station
