"""Background work, one job at a time: predicting, applying, exporting, learning.

Each kind of job is a module of its own in this package: an object with a kind that runs and
reports. Predicting a folder of images gives way to any other job and resumes after it.
"""

from __future__ import annotations

import itertools
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from bigkingxxl.errors import BigKingXXLError, InputError, OutputError
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.document import compact
from bigkingxxl.viewer.server.job_status import CancelledError, Job, JobStatus, Report
from bigkingxxl.viewer.server.pixels import strided
from bigkingxxl.viewer.server.session import Raster, Session

if TYPE_CHECKING:
    from bigkingxxl.viewer.server.learn_job import LearnJob

log = logging.getLogger(__name__)
STOPPED = "fine-tuning was cancelled; its progress so far is kept"


class UnknownJobError(LookupError):
    """No job has this id."""


class Jobs:
    """All jobs of a session.

    Args:
        session: The session.
        model: Name or file of the model that predicts a folder of images and from which learning
            begins; None takes the run's own model, or else 'bundled'.
    """

    def __init__(self, session: Session, model: str | None = None) -> None:
        from bigkingxxl.viewer.server.model_history import ModelHistory
        from bigkingxxl.viewer.server.predict_job import PredictJob

        self.session = session
        start = model or session.workspace.model or "bundled"
        self.history = ModelHistory.load(session.store.folder, start)
        if model is not None and self.history.start != model:
            self.history = replace(self.history, start=model)
        self._tasks: dict[str, JobStatus] = {}
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self.predicting = PredictJob(session, self.history.model)

    # ---- queries --------------------------------------------------------------------------------

    def told(self, folder: wire.Folder) -> wire.Folder:
        """Return the folder, completed with the state of the jobs."""
        from bigkingxxl.viewer.server.learn_job import what_is_missing

        extra = wire.Extra(install=what_is_missing())
        return folder.model_copy(update={"models": self.history.infos(), "learn": extra})

    def all(self) -> wire.JobList:
        """Return all jobs, newest first."""
        with self._changed:
            return wire.JobList(jobs=tuple(t.shown() for t in reversed(self._tasks.values())))

    def get(self, job: str) -> wire.Job:
        """Return a job.

        Raises:
            UnknownJobError: There is none.
        """
        return self._task(job).shown()

    def _task(self, job: str) -> JobStatus:
        try:
            return self._tasks[job]
        except KeyError as error:
            raise UnknownJobError("there is no such job") from error

    # ---- starting -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Predict waiting images of a folder of images, and resume unfinished learning."""
        if self.predicting.is_needed:
            self._add(self.predicting)
        if self.session.store.is_claimed:
            self._take_up()

    def _take_up(self) -> None:
        """Resume a learning job that the end of the program interrupted."""
        from bigkingxxl.viewer.server.learn_job import LearnJob
        from bigkingxxl.viewer.server.pending_learning import PendingLearning

        about = PendingLearning.load(self.history.folder)
        if about is None:
            return
        work = LearnJob(self.session, self.history.folder, about)
        asks = work.model is not None and work.model.is_file()
        with self._changed:
            task = JobStatus(str(next(self._numbers)), work, "asking" if asks else "cancelled")
            task.message = about.result.advice if asks and about.result else STOPPED
            task.result = about.result if asks else None
            self._tasks[task.id] = task
        self._tell(task)

    def urgent(self, key: str) -> wire.ImageEntry:
        """Predict an image before all others that wait."""
        image = self.session.image(key)
        self.predicting.urgent(key)
        return self.session.entry(image)

    def apply(self, settings: wire.Settings) -> wire.Job:
        """Apply other thresholds to the run."""
        from bigkingxxl.viewer.server.apply_job import ApplyJob

        self._check_writable()
        if reason := self.session.workspace.cannot_apply:
            raise InputError(reason)
        return self._add(ApplyJob(self.session, settings)).shown()

    def export(self, request: wire.ExportRequest) -> wire.Job:
        """Export the cells as they are now.

        Raises:
            InputError: A format is unknown, or needs a package that is not installed.
        """
        from bigkingxxl.runs.outputs import chosen_formats
        from bigkingxxl.viewer.server.export_formats import what_is_missing
        from bigkingxxl.viewer.server.export_job import ExportJob

        formats = chosen_formats(request.formats)
        for name in formats:
            if sentence := what_is_missing(name):
                raise InputError(sentence)
        self._check_writable()
        return self._add(ExportJob(self.session, formats)).shown()

    def learn(self, request: wire.LearnRequest) -> wire.Job:
        """Learn from the reviewed images.

        Raises:
            InputError: Nothing was reviewed, the model is gone, or a required package is missing.
        """
        from bigkingxxl.viewer.server.learn_job import LearnJob

        self._check_writable()
        work = LearnJob.new(self.session, request, self.history)
        work.check()
        return self._add(work).shown()

    def _check_writable(self) -> None:
        from bigkingxxl.viewer.server.folder_claim import ReadOnlyError

        if self.session.store.read_only:
            raise ReadOnlyError(self.session.store.read_only)

    def _add(self, work: Job) -> JobStatus:
        with self._changed:
            same = next((task for task in self._tasks.values() if task.job.kind == work.kind
                         and task.state in ("waiting", "running")), None)  # fmt: skip
            if same is not None and work.kind != "predict":
                raise InputError(
                    "a job of this kind is already running: wait until it ends, or cancel it"
                )
            if same is not None:
                return same
            task = JobStatus(str(next(self._numbers)), work)
            self._tasks[task.id] = task
            for other in self._tasks.values():  # predicting gives way
                if other.job.kind == "predict" and other.state == "running":
                    other.stop.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work_on, name="jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        self._tell(task)
        return task

    # ---- stopping -------------------------------------------------------------------------------

    def cancel(self, job: str) -> wire.Job:
        """Stop a job."""
        task = self._task(job)
        with self._changed:
            if task.state == "waiting":
                task.state = "cancelled"
            task.stop.set()
        self._tell(task)
        return task.shown()

    def resume(self, job: str) -> wire.Job:
        """Resume a job that was stopped."""
        task = self._task(job)
        if not task.shown().can_resume:
            raise InputError("this job cannot be resumed: start a new one")
        return self._add(task.job).shown()

    def accept(self, job: str) -> wire.Job:
        """Use the model that a job made, and predict all uncorrected cells with it."""
        from bigkingxxl.viewer.server.learn_job import RepredictJob

        task = self._asking(job)
        learning = self._learning(task)
        if learning.model is None or learning.result is None:
            raise InputError("this job made no model")
        self.history = self.history.taken(learning.model, learning.result)
        learning.end()
        self.predicting.model = self.history.model
        task.state = "done"
        self._tell(task)
        self._add(RepredictJob(self.session, self.history.model))
        return task.shown()

    def _learning(self, task: JobStatus) -> LearnJob:
        from bigkingxxl.viewer.server.learn_job import LearnJob

        if not isinstance(task.job, LearnJob):
            raise InputError("this job does not fine-tune a model")
        return task.job

    def reject(self, job: str) -> wire.Job:
        """Discard the model that a job made."""
        task = self._asking(job)
        self._learning(task).end()
        task.state = "done"
        self._tell(task)
        return task.shown()

    def _asking(self, job: str) -> JobStatus:
        task = self._task(job)
        if task.state != "asking":
            raise InputError("this job is not waiting for a decision")
        return task

    def compared(
        self, job: str, which: str, key: str, level: int, row: int | None, col: int | None
    ) -> Raster:
        """Return the cells before or after learning.

        Raises:
            InputError: The job did not compare this image.
            BadTileError: There is no such tile.
        """
        learning = self._learning(self._task(job))
        labels = compact(learning.labels(which, self.session.image(key)))
        return Raster(strided(labels, level, row, col), 0)

    def archive(self, job: str) -> bytes:
        """Return all files of an export as a zip archive.

        Raises:
            InputError: The job exported nothing.
        """
        from bigkingxxl.viewer.server.export_job import ExportJob

        task = self._task(job)
        if not isinstance(task.job, ExportJob) or task.state != "done":
            raise InputError("this job made no files")
        return task.job.archive()

    def close(self) -> None:
        """Stop all jobs."""
        with self._changed:
            self._is_closed = True
            for task in self._tasks.values():
                task.stop.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    # ---- the thread -----------------------------------------------------------------------------

    def _tell(self, task: JobStatus) -> None:
        self.session.events.add("job", job=task.shown())

    def _work_on(self) -> None:
        while True:
            with self._changed:
                while not self._is_closed and not self._waiting():
                    self._changed.wait()
                if self._is_closed:
                    return
                task = self._waiting()[0]
                task.state = "running"
            state = self._do(task)
            with self._changed:
                task.state = state
                is_put_off = task.job.kind == "predict" and state == "cancelled"
                gave_way = is_put_off and bool(self._waiting())
            if gave_way:
                task.state, task.message = "waiting", ""
                task.stop = threading.Event()
            self._tell(task)

    def _waiting(self) -> list[JobStatus]:
        """Return the waiting jobs, predicting last."""
        found = [task for task in self._tasks.values() if task.state == "waiting"]
        return sorted(found, key=lambda task: task.job.kind == "predict")

    def _do(self, task: JobStatus) -> wire.JobState:
        """Do a job and return its state afterwards."""
        self._tell(task)
        try:
            finished = task.job.run(Report(task, self._tell))
        except CancelledError:
            return "cancelled"
        except (BigKingXXLError, OSError, MemoryError) as error:
            task.error = _sentence(error)
            return "failed"
        except Exception as error:
            log.warning("a job failed", exc_info=error)
            task.error = f"an unexpected error, {type(error).__name__}: {error}"
            return "failed"
        task.message, task.files, task.result = finished.message, finished.files, finished.result
        task.done = task.done if task.total is None else task.total
        asks = finished.result is not None and finished.result.is_better
        return "asking" if asks else "done"


def _sentence(error: Exception) -> str:
    words = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "there is not enough memory for this job"
    if isinstance(error, OutputError) or words:
        return words
    return type(error).__name__
