"""The time that a training may take: by the clock, or by the work of the processors."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from bigkingxxl.training.recipe import TrainingSettings

LARGEST_RESERVE = 0.5  # of a limit: at least as much is left to learn in


class Budget:
    """What a training has spent, over all its parts, and what its settings let it spend.

    A part of every limit is reserved for the validation that ends the training.

    Attributes:
        wall, cpu: seconds spent by the parts before this one.
        agreed: the share that several processes last agreed on; None where there is one.
        reserved_wall, reserved_cpu: seconds that a validation takes; 0 as long as none is measured.
    """

    def __init__(self, training: TrainingSettings) -> None:
        self.training = training
        self.agreed: float | None = None
        self.wall = self.cpu = self.reserved_wall = self.reserved_cpu = 0.0
        self._wall_began, self._cpu_began = time.monotonic(), cpu_seconds()
        self._validation_began = self._wall_began, self._cpu_began

    @property
    def is_limited(self) -> bool:
        """Whether the settings name a limit."""
        return self.training.max_minutes is not None or self.training.max_cpu_minutes is not None

    def seconds(self) -> float:
        """Spent by the clock, over all parts."""
        return self.wall + time.monotonic() - self._wall_began

    def cpu_seconds(self) -> float:
        """Spent by all processors together, over all parts."""
        return self.cpu + cpu_seconds() - self._cpu_began

    def used(self) -> float:
        """Share of the time for learning that is spent; from 1 on it is over; 0 without a limit.

        Where several processes train together it is what they agreed on last.
        """
        return self.own() if self.agreed is None else self.agreed

    def own(self) -> float:
        """The same by this process's own clock."""
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
        """A validation begins here."""
        self._validation_began = time.monotonic(), cpu_seconds()

    def end_validation(self, times: float = 1.0) -> None:
        """It ended: as long as it took, times a factor, is reserved from now on."""
        wall, cpu = self._validation_began
        self.reserved_wall = times * (time.monotonic() - wall)
        self.reserved_cpu = times * (cpu_seconds() - cpu)

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"wall": self.seconds(), "cpu": self.cpu_seconds(),
                "reserved_wall": self.reserved_wall, "reserved_cpu": self.reserved_cpu}  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept; what this part has spent so far counts too."""
        for name in ("wall", "cpu", "reserved_wall", "reserved_cpu"):
            setattr(self, name, float(state.get(name, 0.0)))


def cpu_seconds() -> float:
    """CPU time of this process, of its workers that ended and, on Linux, of those that run."""
    times = os.times()
    ended = times.children_user + times.children_system
    workers = (each.pid for each in multiprocessing.active_children())
    return time.process_time() + ended + sum(_of_process(pid) for pid in workers if pid)


def _of_process(pid: int) -> float:
    try:
        # What follows the name, which may hold spaces: utime and stime are fields 14 and 15.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0
