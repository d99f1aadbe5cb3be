"""Do a run in this process, in several processes, or on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bigkingxxl.cluster.dispatch import run_job
from bigkingxxl.cluster.job import Job
from bigkingxxl.cluster.pool import Pool, fitting, worthwhile
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import InputError
from bigkingxxl.processes import threads_allowed
from bigkingxxl.runs.deadline import Deadline
from bigkingxxl.runs.folder import predict_folder
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.shards import WHOLE, Shard


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

    def processes(self, job: Job, files: int) -> int:
        """Return the number of processes of this machine that do a run.

        If the user does not choose it, other jobs may run beside a shard, a GPU is used by one
        process, and PyTorch takes long to load; such runs have one process.
        """
        if self.workers is not None:
            return 1 if self.workers == 1 else fitting(self.workers, files)
        return worthwhile(files) if self.shard.is_whole and job.loading.is_light else 1


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
    count = sharing.processes(job, len(files))
    if count > 1:
        threads = threads_allowed() // count if sharing.workers is None else None
        with Pool(count, threads) as pool:
            return run_job(job, files, pool, shard=shard, deadline=deadline, track=track)
    pipeline = job.pipeline()
    return predict_folder(
        pipeline.predictor, list(files), lambda path: job.reading.open(path, files[path]), job.out,
        job.settings, job.selection, pipeline.judge, name_of=files.__getitem__, track=track,
        overwrite=job.overwrite, shard=shard, deadline=deadline,
    )  # fmt: skip
