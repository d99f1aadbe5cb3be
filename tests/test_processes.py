"""Workers die with the process that started them, and errors name the signal in words."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import get_all_start_methods
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from bigkingxxl.errors import Interrupted
from bigkingxxl.processes import cores, end_this_process, is_alive

STARTS_A_WORKER = """
import multiprocessing, sys, time
from bigkingxxl.processes import die_with_parent

def work(pipe):
    die_with_parent()
    pipe.send(multiprocessing.current_process().pid)
    time.sleep(600)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    here, there = context.Pipe()
    worker = context.Process(target=work, args=(there,))
    worker.start()
    print(here.recv(), flush=True)
    time.sleep(600)
"""


class Kernel:
    """Windows' kernel32 as far as it is asked: what `OpenProcess` and `GetExitCodeProcess` say."""

    def __init__(self, handle: int, code: int) -> None:
        self.code, self.closed = code, 0
        self.OpenProcess = Mock(return_value=handle)

    def GetExitCodeProcess(self, _: object, code: Any) -> bool:  # noqa: N802
        code._obj.value = self.code
        return True

    def CloseHandle(self, _: object) -> None:  # noqa: N802
        self.closed += 1


def gone(pid: int) -> bool:
    """Whether the process is gone, or a zombie that nobody has reaped yet."""
    if not is_alive(pid):
        return True
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("method", get_all_start_methods())
def test_a_worker_dies_with_the_process_that_started_it(method: str, tmp_path: Path) -> None:
    script = tmp_path / "starts.py"
    script.write_text(STARTS_A_WORKER)
    parent = subprocess.Popen([sys.executable, script, method], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert not gone(worker)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 30
    while not gone(worker):
        assert time.monotonic() < end, "it lives"
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_codes_are_those_of_shells(number: int, code: int) -> None:
    assert Interrupted(number).exit_code == code


def test_this_process_lives_and_a_dead_one_does_not() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert is_alive(os.getpid())
    assert not is_alive(done.pid)


@pytest.mark.parametrize(
    ("handle", "code", "error", "expected"),
    [
        (7, 259, 0, True),
        (7, 0, 0, False),  # it has ended, and somebody still holds a handle to it
        (0, 0, 87, False),  # there is no such process
        (0, 0, 5, True),  # it belongs to another user
    ],
)
def test_processes_are_looked_up_on_windows(
    handle: int, code: int, error: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(handle, code)
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: kernel, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert is_alive(4711) is expected
    assert kernel.closed == (handle != 0)


def test_a_process_ends_itself_in_order_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There `os.kill` would end it at once, whatever handles the signal."""
    received: list[int] = []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("killed"))
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        thread = threading.Thread(target=end_this_process)
        thread.start()
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [({"cpu.max": "100000 100000\n"}, 1), ({"cpu.max": "max 100000\n"}, None),
     ({"cpu.max": "1 100000\n"}, 1), ({}, None),
     ({"cpu/cpu.cfs_quota_us": "90000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
     ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None)],
)  # fmt: skip
def test_a_container_may_have_a_quota_of_cores(
    tmp_path: Path, texts: dict[str, str], expected: int | None
) -> None:
    (tmp_path / "cpu").mkdir()
    everything = cores(tmp_path / "nowhere")
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert cores(tmp_path) == (expected or everything)
