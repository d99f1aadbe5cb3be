"""A Python program in a process of its own: its output line by line, and stopping it on request."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from bigkingxxl.errors import InputError
from bigkingxxl.viewer.server.job_status import CancelledError

NICE = 5  # what the user sees has priority
SECONDS_TO_END = 30.0
Line = dict[str, Any]


def run_child(
    arguments: Sequence[str], told: Callable[[Line], None], stop: threading.Event,
    given: Any = None,
) -> None:  # fmt: skip
    """Run `python -m ...` and pass on each line of JSON that it prints.

    Args:
        arguments: Arguments of Python.
        told: Receives each line.
        stop: Set to stop the process.
        given: Written to its stdin as a line of JSON. The stdin stays open as long as the process
            is to run; see `bigkingxxl.viewer.run_as_child`.

    Raises:
        InputError: It failed; the sentence is its own.
        CancelledError: It was stopped and ended in an orderly way.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=errors, env=environment, start_new_session=True,
        )  # fmt: skip
        with process:
            with suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
            try:
                _hand_on(process, told, stop, given)
            except BaseException:
                _end(process)
                raise
        errors.seek(0)
        said = errors.read()[-4000:].decode("utf-8", "replace").strip()
    if process.returncode != 0:
        last = said.splitlines()[-1] if said else f"exit code {process.returncode}"
        raise InputError(last.removeprefix("bigkingxxl: "))


def _hand_on(
    process: subprocess.Popen[bytes], told: Callable[[Line], None], stop: threading.Event,
    given: Any,
) -> None:  # fmt: skip
    assert process.stdin is not None
    if given is not None:
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(given).encode() + b"\n")
            process.stdin.flush()
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    while True:
        if stop.is_set():
            raise CancelledError
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            continue
        if line is None:
            process.wait()
            return
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                told(value)


def _read(process: subprocess.Popen[bytes], lines: queue.Queue[bytes | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        # `terminate` would end it at once, without a chance to save its state.
        with suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
    else:
        process.terminate()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
