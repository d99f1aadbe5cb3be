"""The time budget of a training, in wall-clock or processor time."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from bigkingxxl.training.recipe import TrainingSettings

LARGEST_RESERVE = 0.5  # of a limit: the rest remains for training


class Budget:
    """The time that a training has spent over all its parts, and its limits.

    A part of each limit is reserved for the final validation.

    Attributes:
        wall: Wall-clock seconds spent by the earlier parts.
        cpu: Processor seconds spent by the earlier parts.
        agreed: The fraction that several processes last agreed on; None for a single process.
        reserved_wall: Wall-clock seconds of a validation; 0 until one is measured.
        reserved_cpu: Processor seconds of a validation; 0 until one is measured.
    """

    def __init__(self, training: TrainingSettings) -> None:
        self.training = training
        self.agreed: float | None = None
        self.wall = self.cpu = self.reserved_wall = self.reserved_cpu = 0.0
        self._wall_began, self._cpu_began = time.monotonic(), cpu_seconds()
        self._validation_began = self._wall_began, self._cpu_began

    @property
    def is_limited(self) -> bool:
        """Whether the settings give a limit."""
        return self.training.max_minutes is not None or self.training.max_cpu_minutes is not None

    def seconds(self) -> float:
        """Return the wall-clock seconds spent, over all parts."""
        return self.wall + time.monotonic() - self._wall_began

    def cpu_seconds(self) -> float:
        """Return the seconds spent by all processors together, over all parts."""
        return self.cpu + cpu_seconds() - self._cpu_began

    def used(self) -> float:
        """Return the fraction of the training time that is spent; 0 without a limit.

        Training ends at 1. Several processes use the value that they last agreed on.
        """
        return self.own() if self.agreed is None else self.agreed

    def own(self) -> float:
        """Return the fraction according to this process."""
        limits = (
            (self.training.max_minutes, self.reserved_wall, self.seconds),
            (self.training.max_cpu_minutes, self.reserved_cpu, self.cpu_seconds),
        )
        shares = [
            spent() / max(60 * minutes - reserved, 60 * minutes * LARGEST_RESERVE)
            for minutes, reserved, spent in limits
            if minutes is not None
        ]
        return max(shares, default=0.0)

    def begin_validation(self) -> None:
        """Start measuring a validation."""
        self._validation_began = time.monotonic(), cpu_seconds()

    def end_validation(self, times: float = 1.0) -> None:
        """Reserve the time of the validation that ends here, times a factor."""
        wall, cpu = self._validation_began
        self.reserved_wall = times * (time.monotonic() - wall)
        self.reserved_cpu = times * (cpu_seconds() - cpu)

    def state(self) -> dict[str, float]:
        """Return the state for a checkpoint."""
        return {"wall": self.seconds(), "cpu": self.cpu_seconds(),
                "reserved_wall": self.reserved_wall, "reserved_cpu": self.reserved_cpu}  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint; the time spent in this part is added."""
        for name in ("wall", "cpu", "reserved_wall", "reserved_cpu"):
            setattr(self, name, float(state.get(name, 0.0)))


def cpu_seconds() -> float:
    """Return the processor time of this process and its workers (running ones only on Linux)."""
    times = os.times()
    ended = times.children_user + times.children_system
    workers = (each.pid for each in multiprocessing.active_children())
    return time.process_time() + ended + sum(_of_process(pid) for pid in workers if pid)


def _of_process(pid: int) -> float:
    try:
        # After the name, which may contain spaces; utime and stime are fields 14 and 15.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0
