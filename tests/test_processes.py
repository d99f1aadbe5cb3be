"""Workers die with the process that started them, and errors name the signal in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_all_start_methods
from pathlib import Path

import pytest

from bigkingxxl.errors import Interrupted
from bigkingxxl.processes import is_alive

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


def gone(pid: int) -> bool:
    """Whether the process is gone, or a zombie that nobody has reaped yet."""
    if not is_alive(pid):
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


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
