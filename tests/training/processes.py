"""The command in processes that share one import of torch, to be killed."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

PATIENCE = 120.0  # seconds; a machine may be busy


@contextmanager
def running(
    arguments: list[str], log: Path, *, step_seconds: float = 0.0, largest_file: int | None = None
) -> Iterator[BaseProcess]:
    """`bigkingxxl` with arguments, its output in `log`; killed when the block ends.

    Args:
        step_seconds: that each training step takes longer; largest_file: bytes, for a full disk.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["bigkingxxl.training.run", "bigkingxxl.cli.train"])
    process = context.Process(target=command, args=(arguments, log, step_seconds, largest_file))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def command(arguments: list[str], log: Path, step_seconds: float, largest_file: int | None) -> None:
    """Run the command in the process, which leads a process group."""
    from bigkingxxl.cli.main import main
    from bigkingxxl.training.module import TrainingModule

    os.setpgid(0, 0)
    # As outside this helper: another fork server would import torch once more.
    multiprocessing.set_start_method("fork", force=True)
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    if largest_file is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    check = TrainingModule.check

    def slow(self: TrainingModule, *arguments: object) -> None:
        time.sleep(step_seconds)
        check(self, *arguments)  # type: ignore[arg-type]

    setattr(TrainingModule, "check", slow)  # noqa: B010
    sys.argv = ["bigkingxxl", *arguments]
    main()


def burn(seconds: float, pipe: Connection) -> None:
    """Work for some CPU time, say so, and wait until told otherwise."""
    while time.process_time() < seconds:
        pass
    pipe.send("worked")
    pipe.recv()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that a process does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def children(pid: int | None) -> list[int]:
    """Return the live child processes of a process."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()]


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False
