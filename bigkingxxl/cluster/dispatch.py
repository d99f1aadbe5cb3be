"""The one loop that hands the tasks of a run to any engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from bigkingxxl.cluster.job import FINISH, Done, Job, Part, Task
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import ImageError
from bigkingxxl.runs.deadline import Deadline
from bigkingxxl.runs.folder import ALONE_ABOVE, label_of
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.obsolete import forget_alone, remove_obsolete
from bigkingxxl.runs.outcome import Outcome, fail
from bigkingxxl.runs.path_conflicts import check_path_conflicts
from bigkingxxl.runs.shards import WHOLE, Shard, begin_shard, end_shard, listing_of
from bigkingxxl.runs.store import RunStore
from bigkingxxl.runs.tables import make_tables


class Engine(Protocol):
    """Executes tasks elsewhere, several at once."""

    @property
    def slots(self) -> int:
        """Number of tasks that it takes at once."""

    @property
    def large_slots(self) -> int:
        """Number of large units that may be among them."""

    def begin(self, job: Job) -> None:
        """Prepare for a run, whose folder is ready.

        Raises:
            InputError: The workers cannot do the run.
        """

    def submit(self, task: Task) -> None:
        """Take a task; at most `slots` tasks are in progress at once."""

    def next(self) -> Done | Lost:
        """Wait for a task to end and return it."""

    def drop(self) -> list[Task]:
        """Give back the tasks that were not begun."""


@dataclass(frozen=True)
class Lost:
    """A task whose worker died.

    Attributes:
        task: The task.
        is_final: Whether it is not tried again.
        reason: Why the worker probably died.
    """

    task: Task
    reason: str
    is_final: bool


def run_job(
    job: Job,
    files: Mapping[Path, str],
    engine: Engine,
    *,
    shard: Shard = WHOLE,
    deadline: Deadline | None = None,
    track: Track = untracked,
    label: str = "predicting",
) -> FolderResult:
    """Predict images in other processes; see `predict_folder`, which gives the same results.

    Args:
        job: The settings of the run.
        files: The image files in order, with their ids.
        engine: Executes the tasks.
        shard: The part of the images to do.
        deadline: Once it is due, no further task is submitted.
        track: Shows the progress.
        label: What the progress bar says is being done.

    Raises:
        InputError: A run of other settings is working in the folder, images lie among the results,
            or workers cannot do the job.
        OutputError: The folder cannot be written.
    """
    check_path_conflicts(files, job.out)
    store, deadline = RunStore(job.out), deadline or Deadline()
    with store.at_work(job.settings, clear=shard.is_whole) as settings:
        job = replace(job, settings=settings)
        listing = listing_of((name, path) for path, name in files.items())
        begin_shard(store, settings.run, shard, listing)
        engine.begin(job)
        run = _Dispatch(job, store, engine, shard, deadline, files, listing)
        for _ in track(run.finished(), run.total, partial(run.label, label)):
            pass
        return run.ended()


@dataclass
class _Dispatch:
    """A run that an engine executes, and its progress."""

    job: Job
    store: RunStore
    engine: Engine
    shard: Shard
    deadline: Deadline
    files: Mapping[Path, str]
    listing: str
    result: FolderResult = field(default_factory=FolderResult)
    opened: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        count = len(self.files)
        self.waiting = deque(
            Task(file, path, name) for file, (path, name) in enumerate(self.files.items())
            if self.shard.may_open(file, count)
        )  # fmt: skip
        self.names = set(self.files.values())
        self.outcomes: dict[tuple[int, int], Outcome] = {}
        self.found: set[str] = set()
        self.busy: list[Task] = []
        self.ended_units = self.finishing = 0
        self.in_blocks: list[str] = []
        self.large: set[tuple[int, int]] = set()
        self.units_left: dict[tuple[int, int], int] = {}
        self.tasks_left: dict[int, int] = {task.file: 1 for task in self.waiting}

    # ---- the loop -------------------------------------------------------------------------------

    def total(self) -> int:
        """Return the number of units, done or left, as far as is known."""
        return self.ended_units + sum(self.tasks_left.values()) - self.finishing

    def label(self, doing: str) -> str:
        """Return what is being done, such as 'predicting slide, blocks'."""
        return label_of(doing, self.in_blocks, len(self.files) == len(self.found) == 1)

    def finished(self) -> Iterator[Task]:
        """Yield each task that is done; to finish a large image is not counted."""
        flying: list[Task] = []
        while True:
            self._fill(flying)
            if not flying:
                return
            done = self.engine.next()
            flying.remove(done.task)
            if isinstance(done, Lost):
                self._lost(done)
            else:
                self.deadline.note(done.seconds)
                self._note(done)
            self.tasks_left[done.task.file] -= 1
            if done.task.block == FINISH:
                self.finishing -= 1
            elif self._is_end(done):
                self.ended_units += 1
                yield done.task

    @staticmethod
    def _is_end(done: Done | Lost) -> bool:
        """Whether a task is done for good and no other task replaces it."""
        if isinstance(done, Lost):
            return done.is_final
        return not done.is_busy and not done.parts

    def _fill(self, flying: list[Task]) -> None:
        """Submit as many tasks as the engine takes."""
        if self.deadline.is_due and not self.result.stopped:
            self.result.stopped = self.deadline.reason
            for task in self.engine.drop():
                flying.remove(task)
        if not self.waiting and not flying and self.busy:
            # Another process has done these by now, or left them undone.
            self.waiting.extend(replace(each, wait=True) for each in self.busy)
            self.busy.clear()
        while self.waiting and len(flying) < self.engine.slots and not self.result.stopped:
            if self._is_large(self.waiting[0]):
                large = sum(map(self._is_large, flying))
                if large >= self.engine.large_slots:
                    return
            task = self.waiting.popleft()
            flying.append(task)
            self.engine.submit(task)

    def _is_large(self, task: Task) -> bool:
        return task.image is not None and (task.file, task.image) in self.large

    # ---- results ------------------------------------------------------------------------

    def _note(self, done: Done) -> None:
        task = done.task
        if done.opened:
            self.opened.add(str(task.path.absolute()))
        if done.is_busy:
            self.tasks_left[task.file] += 1
            self.finishing += task.block == FINISH
            self.busy.append(task)
        elif done.parts:
            self._share(replace(task, state=done.state), done.parts)
        else:
            if done.outcome is not None:
                self._keep(task, done.outcome)
            if task.image is not None and task.block != FINISH:
                self._block_ended(task, (task.file, task.image))

    def _block_ended(self, task: Task, key: tuple[int, int]) -> None:
        """Queue the task that finishes a large image after its last block."""
        if self.units_left[key] > 0:
            self.units_left[key] -= 1
            if self.units_left[key] == 0:
                self._later([replace(task, block=FINISH, if_ready=not self.shard.is_whole)])

    def _keep(self, task: Task, outcome: Outcome) -> None:
        if task.image is None and not self.shard.has_unit(task.file, len(self.files), 0):
            return
        self.outcomes[task.file, task.image or 0] = outcome
        self.found.add(outcome.image)

    def _share(self, task: Task, parts: tuple[Part, ...]) -> None:
        """Queue tasks for the images and blocks of a file that belong to this shard."""
        tasks = []
        if task.name not in {part.name for part in parts} and not self.shard.is_whole:
            self.result.removed += forget_alone(self.store, task.name, task.path)
        for image, part in enumerate(parts):
            key = (task.file, image)
            if part.name in self.found or (part.name in self.names and part.name != task.name):
                again = (
                    f"{task.path} contains a second image '{part.name}': use a separate run for it"
                )
                self.outcomes[key] = Outcome(part.name, failure=again)
                continue
            self.found.add(part.name)
            own = [
                replace(task, image=image, block=block, part_name=part.name)
                for block in range(part.units)
                if self.shard.has_unit(task.file, len(self.files), image, block, part.units)
            ]  # fmt: skip
            if part.pixels > ALONE_ABOVE:
                self.large.add(key)
            self.units_left[key] = len(own) if part.units > 1 else 0
            if part.units > 1:
                self.in_blocks.append(part.name)
            tasks += own
        self._later(tasks)

    def _later(self, tasks: list[Task]) -> None:
        """Queue these tasks before all others, because their file is open."""
        for task in tasks:
            self.tasks_left[task.file] += 1
            self.finishing += task.block == FINISH
        self.waiting.extendleft(reversed(tasks))

    def _lost(self, lost: Lost) -> None:
        if lost.is_final:
            error = ImageError(f"{lost.task.path}: {lost.reason}")
            name, path = lost.task.image_id, lost.task.path
            self._keep(lost.task, fail(self.store, self.job.settings, name, path, error))
        else:
            self._later([lost.task])

    # ---- the end --------------------------------------------------------------------------------

    def ended(self) -> FolderResult:
        """Return the result of the run, and make the tables if this is the whole run."""
        result = self.result
        for _, outcome in sorted(self.outcomes.items()):
            result.note(outcome)
        result.is_part = not self.shard.is_whole
        result.left = sum(1 for left in self.tasks_left.values() if left)
        if result.stopped:
            return result
        settings = self.job.settings
        end_shard(self.store, settings.run, self.shard, self.listing)
        if self.shard.is_whole:
            result.removed = remove_obsolete(self.store, settings, self.opened, self.found)
            result.tables = make_tables(self.store, settings, overwrite=self.job.overwrite)
            result.kept += result.tables.kept
        return result
