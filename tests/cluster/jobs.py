"""Jobs whose predictor detects bright squares and whose process may be killed."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.candidates import Candidates
from bigkingxxl.cluster.job import Job, Loading
from bigkingxxl.errors import OutputError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.model_card import ModelCard
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.folder import run_settings
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.outputs import FORMATS
from bigkingxxl.runs.selection import Selection
from tests.threshold import NAMES, Threshold


class Deadly(Threshold):
    """A predictor whose process is killed on some images, a given number of times each."""

    def __init__(
        self, deadly: dict[str, int], notes: Path, slow: float, full: bool, how: str
    ) -> None:
        super().__init__(slow)
        self.deadly, self.notes, self.full, self.how = deadly, notes, full, how

    def candidates(self, source: ImageSource) -> Candidates:
        with (self.notes / f"asked-{os.getpid()}.txt").open("a") as stream:
            stream.write(f"{source.name}\n")
        if self.full:
            raise OutputError("no space is left") from OSError(errno.ENOSPC, "no space")
        deaths = len(list(self.notes.glob(f"died-{source.name}-*")))
        if deaths < self.deadly.get(source.name, 0):
            (self.notes / f"died-{source.name}-{os.getpid()}").touch()
            os.kill(os.getpid(), getattr(signal, self.how, signal.SIGTERM))
        return super().candidates(source)


@dataclass(frozen=True)
class SquaresLoading(Loading):
    """Loads no model.

    Attributes:
        deadly: Image ids, and how many processes each of them kills.
        notes: Folder in which kills and every start of a model are noted.
        full: Whether the disk is full.
        how: The signal that kills.
    """

    deadly: tuple[tuple[str, int], ...] = ()
    notes: Path = Path()
    slow: float = 0.0
    full: bool = False
    how: str = "SIGKILL"

    def load(self) -> tuple[Predictor, ModelCard]:
        (self.notes / f"loaded-{os.getpid()}-{time.monotonic_ns()}").touch()
        card = ModelCard(method="compact", settings={}, type_names=NAMES)
        return Deadly(dict(self.deadly), self.notes, self.slow, self.full, self.how), card


def squares_job(
    out: Path, notes: Path, key: str = "k", deadly: tuple[tuple[str, int], ...] = (),
    slow: float = 0.0, full: bool = False, how: str = "SIGKILL",
) -> Job:  # fmt: skip
    """A run of all formats; `notes` is a folder that its processes write into."""
    notes.mkdir(exist_ok=True)
    reading, selection = OpenOptions(), Selection(OperatingPoints())
    settings = run_settings(key, selection, FORMATS, model="abc123", reading=reading.as_json())
    loading = SquaresLoading((), (), deadly=deadly, notes=notes, slow=slow, full=full,
                             how=how)  # fmt: skip
    return Job(out, settings, selection, reading, loading)


def loaded(notes: Path) -> dict[int, int]:
    """How often each process loaded the models."""
    found: dict[int, int] = {}
    for each in notes.glob("loaded-*"):
        pid = int(each.name.split("-")[1])
        found[pid] = found.get(pid, 0) + 1
    return found


def ends_at_once(*_: object) -> None:
    """Work as a process that ends before it can do anything."""
    os._exit(3)
