"""A SLURM cluster of one node, started for a test and stopped afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun")
SECONDS = 120.0
CONFIG = """\
ClusterName=test
SlurmctldHost={host}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller}
SlurmdPort={node}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=2,sched_interval=2
ReturnToService=2
MpiDefault=none
KillWait=10
NodeName={host} CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def program(name: str) -> str | None:
    """Return the path of a program; the daemons are in /usr/sbin."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def is_there() -> bool:
    """Whether SLURM can be started here."""
    return os.geteuid() == 0 and all(program(name) for name in PROGRAMS)


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Return the environment of programs that use the SLURM whose files are in a folder."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(
        host=socket.gethostname().split(".")[0], folder=folder, controller=free_port(),
        node=free_port(),
    ))  # fmt: skip
    environment = os.environ | {"SLURM_CONF": str(config)}
    try:
        start("munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock",
              f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
              f"--seed-file={folder}/munge.seed", environment=environment)  # fmt: skip
        wait_for((folder / "munge.sock").exists)
        start("slurmctld", "-f", str(config), environment=environment)
        start("slurmd", "-f", str(config), environment=environment)
        wait_for(lambda: "idle" in told(["sinfo", "-h", "-o", "%t"], environment))
        yield environment
    finally:
        told(["scancel", "--user=root"], environment)
        for name in ("slurmd", "slurmctld", "munged"):
            with suppress(OSError, ValueError):
                end(int((folder / f"{name}.pid").read_text()))


def start(name: str, *options: str, environment: dict[str, str]) -> None:
    """Start a daemon, which goes to the background by itself."""
    path = program(name)
    assert path is not None
    subprocess.run([path, *options], env=environment, check=True, timeout=60)


def end(pid: int) -> None:
    """Ask a daemon to end, and wait for it."""
    os.kill(pid, signal.SIGTERM)
    with suppress(ProcessLookupError):
        for _ in range(300):
            os.kill(pid, 0)
            time.sleep(0.1)


def told(command: list[str], environment: dict[str, str]) -> str:
    """Return what a command prints, or "" if it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


def wait_for(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not come to be"
        time.sleep(0.2)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])
