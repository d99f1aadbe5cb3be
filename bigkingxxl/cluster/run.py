"""Do a run in this process, in several processes, or on a cluster."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bigkingxxl.cluster.dispatch import run_job
from bigkingxxl.cluster.job import Job
from bigkingxxl.cluster.pool import NoProcessError, Pool, fitting, worthwhile
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import InputError
from bigkingxxl.processes import threads_allowed
from bigkingxxl.runs.deadline import Deadline
from bigkingxxl.runs.folder import predict_folder
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.outputs import IMAGE_FORMATS
from bigkingxxl.runs.records import FileState
from bigkingxxl.runs.shards import WHOLE, Shard
from bigkingxxl.runs.store import SUMMARY, RunStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sharing:
    """Who does a run.

    Attributes:
        workers: The number of processes of this machine; 0 for one per core, None to choose it.
        scheduler: The address of a Dask scheduler, or 'local:N'; None for no cluster.
        shard: The part of the run to do.
        deadline: When to stop.
    """

    workers: int | None = None
    scheduler: str | None = None
    shard: Shard = WHOLE
    deadline: Deadline = field(default_factory=Deadline)

    def check(self) -> None:
        """Check that the options do not contradict each other.

        Raises:
            InputError: Two kinds of workers are requested.
        """
        if self.scheduler is not None and self.workers not in (None, 1):
            raise InputError(
                "--workers are processes of this machine and --scheduler has its own: use only "
                "one of the two (`--scheduler local:4` starts four)",
                key="--workers",
                expected=("--workers", "--scheduler"),
            )

    def processes(self, job: Job, files: Mapping[Path, str]) -> int:
        """Return the number of processes of this machine that do a run.

        If the user does not choose it, other jobs may run beside a shard, a GPU is used by one
        process, and PyTorch takes long to load; such runs have one process.
        """
        if self.workers is not None:
            return 1 if self.workers == 1 else fitting(self.workers, len(files))
        if not self.shard.is_whole or not job.loading.is_light or worthwhile(len(files)) == 1:
            return 1
        store = RunStore(job.out)
        return worthwhile(sum(not _seems_done(store, job, *each) for each in files.items()))


def _seems_done(store: RunStore, job: Job, path: Path, name: str) -> bool:
    """Whether records say that a file is done, which decides only how many processes start."""
    record = store.record(SUMMARY, name)
    if record is None or record.seen is None or record.details["run"] != job.settings.run:
        return False
    kinds = [each for each in job.settings.formats if each in IMAGE_FORMATS]
    is_same = FileState.of(path) == (record.seen.size, record.seen.modified)
    return is_same and all(store.record_place(each, name).is_file() for each in kinds)


def predict_job(
    job: Job, files: Mapping[Path, str], sharing: Sharing, track: Track = untracked
) -> FolderResult:
    """Predict images; the results do not depend on who does the work.

    Args:
        job: The run.
        files: The image files in order, with their ids.
        sharing: Who does the run.
        track: Wraps iterables to show progress.

    Raises:
        InputError: The job is impossible, or another one is active in the folder.
        ModelError: A model is missing or damaged.
        OutputError: The folder cannot be written.
    """
    shard, deadline = sharing.shard, sharing.deadline
    if sharing.scheduler is not None:
        from bigkingxxl.cluster.dask_cluster import dask_cluster

        with dask_cluster(sharing.scheduler) as engine:
            return run_job(job, files, engine, shard=shard, deadline=deadline, track=track)
    count = sharing.processes(job, files)
    if count > 1:
        threads = threads_allowed() // count if sharing.workers is None else None
        try:
            with Pool(count, threads) as pool:
                return run_job(job, files, pool, shard=shard, deadline=deadline, track=track)
        except NoProcessError as error:
            if sharing.workers is not None:
                raise
            log.warning("%s: this process does the rest alone", error)
    return predict_folder(
        replace(job.pipeline(), track=track), list(files),
        lambda path: job.reading.open(path, files[path]), job.out,
        name_of=files.__getitem__, shard=shard, deadline=deadline,
    )  # fmt: skip
