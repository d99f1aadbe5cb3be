"""Exclusive use of a run folder, and removal of the leftovers of interrupted runs."""

from __future__ import annotations

import functools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from bigkingxxl.errors import InputError, Interrupted, OutputError
from bigkingxxl.files import clear_temporaries, make_folder
from bigkingxxl.locks import close_and_remove
from bigkingxxl.processes import is_alive

First = TypeVar("First")
Second = TypeVar("Second")
Result = TypeVar("Result")
Rest = ParamSpec("Rest")

LOCK = ".training.lock"
RECIPE_FILE, RUN_FILE = "recipe.json", "run.json"
# Settings that may change when a run is resumed: how long and how fast it trains, not what.
FREE = frozenset((
    "training.epochs", "training.max_minutes", "training.max_cpu_minutes",
    "training.checkpoint_minutes", "training.patience", "training.workers",
    "finish.calibrate_images",
))  # fmt: skip


def alone_in_folder(
    train: Callable[Concatenate[First, Second, Path, Rest], Result],
) -> Callable[Concatenate[First, Second, Path, Rest], Result]:
    """Decorate a function that trains into the folder `out`, its third argument, to lock it.

    If a training has several processes, the first one holds the lock. An interruption reports how
    to continue.
    """

    @functools.wraps(train)
    def alone(
        first: First, second: Second, out: Path, /, *args: Rest.args, **options: Rest.kwargs
    ) -> Result:
        devices: Any = options.get("devices")
        is_first = devices is None or devices.rank == 0
        with locked(out) if is_first else nullcontext():
            if is_first:
                clear_temporaries(out)
                clear_temporaries(last_checkpoint(out).parent)
            try:
                return train(first, second, out, *args, **options)
            except KeyboardInterrupt as end:
                advice = "run again with --resume to continue"
                if not last_checkpoint(out).is_file():
                    advice = "there is no checkpoint yet, run again to start from the beginning"
                number = {"signum": end.signum} if isinstance(end, Interrupted) else {}
                raise Interrupted(advice=advice, **number) from None

    return alone


def last_checkpoint(run: Path) -> Path:
    """Return the checkpoint from which a run folder's training continues."""
    return run / "checkpoints" / "last.ckpt"


def is_begun(run: Path) -> bool:
    """Return whether a training began in a folder that this process has locked.

    It wrote its settings, or it was killed before that and left its lock behind.
    """
    return (run / RECIPE_FILE).is_file() or bool(read_facts(run / LOCK).get("left_behind"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder, which is created if needed and removed again if it stays empty.

    The system releases the lock when the process ends in any way.

    Raises:
        InputError: Another training holds the lock.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    make_folder(folder)
    path = folder / LOCK
    descriptor = _take(path)
    try:
        yield
    finally:
        close_and_remove(descriptor, path)
        with suppress(OSError):
            for each in missing:
                each.rmdir()


def _take(path: Path) -> int:
    """Return an open lock file that this process holds."""
    try:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _refuse_if_held(path, descriptor)
                if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    # A run that ends by itself, or on a signal, removes its lock.
                    me = {**_me(), "left_behind": bool(_holder(descriptor))}
                    os.ftruncate(descriptor, 0)
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    os.write(descriptor, json.dumps(me).encode())
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # the previous holder has ended and removed it
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}", file=path) from error


def _me() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T"),
            "job": _job()}  # fmt: skip


def _job() -> str:
    """Return the id of this cluster job, "" without one; a restarted job has the same id."""
    return os.environ.get("SLURM_JOB_ID") or os.environ.get("TORCHELASTIC_RUN_ID") or ""


def _refuse_if_held(path: Path, descriptor: int) -> None:
    holder = _holder(descriptor)
    host = holder.get("host", "")
    who = f"process {holder.get('pid', '?')} on {host or '?'}, since {holder.get('since', '?')}"
    # A job that lost its machine and continues on another one left its lock behind.
    is_same_job = holder.get("job", "") == _job() != ""
    if host not in ("", socket.gethostname()) and not is_same_job:
        raise InputError(
            f"{path.parent}: another training may be running here ({who}): wait for it, choose "
            f"another --out, or remove {path} if it has ended",
            file=path.parent,
            key="--out",
            found=who,
        )
    if not _system_lock(descriptor, holder):
        raise InputError(
            f"{path.parent}: another training is running here ({who}): wait for it, or choose "
            "another --out",
            file=path.parent,
            key="--out",
            found=who,
        )


def _holder(descriptor: int) -> dict[str, Any]:
    """Return who wrote the lock; empty if nobody did or the file is incomplete."""
    try:
        found = json.loads(os.read(descriptor, 4096))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _system_lock(descriptor: int, holder: dict[str, Any]) -> bool:
    """Acquire the system's lock of an open file; return False if another process has it.

    If the system has no locks, the process named in the file must have ended.
    """
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pid = holder.get("pid")
        return not isinstance(pid, int) or pid == os.getpid() or not is_alive(pid)
    return True


def check_same_run(run: Path, recipe: dict[str, Any], trained_on: list[str]) -> None:
    """Check that a resumed run has the same settings.

    Args:
        run: The run folder.
        recipe: The complete recipe as stored in its file.
        trained_on: The ids of the training images.

    Raises:
        InputError: Something differs, which the message names.
    """
    before, now = _flat(read_facts(run / RECIPE_FILE)), _flat(json.loads(json.dumps(recipe)))
    for name in sorted(before.keys() & now.keys() - FREE):
        if before[name] != now[name]:
            raise InputError(
                f"{run}: the run began with {name}={before[name]}, not {now[name]}: use the "
                "settings with which it began, or choose another --out",
                file=run,
                key=name,
                found=now[name],
                expected=before[name],
            )
    images = read_facts(run / RUN_FILE).get("trained_on", trained_on)
    if images != trained_on:
        raise InputError(
            f"{run}: the run began with {len(images)} other training images: use the --data and "
            "--fold with which it began, or choose another --out",
            file=run,
            key="images",
            expected=len(images),
        )


def read_facts(path: Path) -> dict[str, Any]:
    """Read a JSON file of a run folder; {} if it is missing or damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
