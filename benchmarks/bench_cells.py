"""What the speed benchmarks share: cells to measure on, a clock, and how results are kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bigkingxxl.files import write_json
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import write_annotations
from bigkingxxl.provenance import provenance

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
REAL_DATA = Path(os.environ.get("BIGKINGXXL_DATA", ROOT.parent / "shared" / "sartorius"))
SIZE = (520, 704)
# Images, cells an image and side of a cell in pixels, about as in the challenge's data.
DRAWN = {"astro": (106, 79, 30), "cort": (293, 34, 16), "shsy5y": (55, 297, 16)}


def annotation_table(data: Path, folder: Path) -> tuple[Path, str]:
    """The `train.csv` of the real data, else one of drawn cells in `folder`; and which it is."""
    if (data / "train.csv").is_file():
        return data / "train.csv", "real: train.csv of the challenge"
    write_annotations(folder / "train.csv", drawn_annotations())
    return folder / "train.csv", "drawn: ellipses in the challenge's numbers"


def drawn_annotations(seed: int = 0) -> dict[str, Instances]:
    """454 images of ellipses that overlap now and then, as many as the challenge's cells."""
    rng = np.random.default_rng(seed)
    types = tuple(DRAWN)
    images: dict[str, Instances] = {}
    for kind, (count, cells, side) in DRAWN.items():
        for _ in range(count):
            number = int(rng.poisson(cells))
            corners = rng.integers(0, np.array(SIZE) - 4, (number, 2)).tolist()
            masks = [ellipse(*rng.integers(side // 2, 2 * side, 2).tolist()) for _ in corners]
            images[f"{kind}{len(images)}"] = Instances.from_crops(
                [(row, col) for row, col in corners],
                masks,
                SIZE,
                cell_type=np.full(number, types.index(kind)),
                type_names=types,
            )
    return images


def ellipse(height: int, width: int) -> Any:
    """bool[height, width]: the ellipse that fills the box."""
    row, col = np.ogrid[:height, :width]
    inside = ((row + 0.5) / height - 0.5) ** 2 + ((col + 0.5) / width - 0.5) ** 2
    return inside <= 0.25


@dataclass(frozen=True)
class Timing:
    """Seconds on the clock and of CPU time, the better of several tries."""

    wall: float
    cpu: float

    def as_dict(self) -> dict[str, float]:
        """Rounded, for JSON."""
        return {"wall_s": round(self.wall, 4), "cpu_s": round(self.cpu, 4)}


def timed(work: Callable[[], T], tries: int = 1) -> tuple[T, Timing]:
    """The last result of `work` and its best times.

    Ratios are of CPU time of all threads: on a shared machine the clock tells who else was there.
    """
    best = Timing(float("inf"), float("inf"))
    for _ in range(tries):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        best = Timing(min(best.wall, wall), min(best.cpu, cpu))
    return result, best


@dataclass(frozen=True)
class Goal:
    """A measured number and what it has to reach."""

    name: str
    value: float
    goal: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Whether it does."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        key = "at_most" if self.at_most else "at_least"
        value = float(f"{self.value:.4g}")
        return {"name": self.name, "value": value, key: self.goal, "reached": self.reached}


def keep(path: Path, goals: list[Goal], details: dict[str, Any], seed: int | None = None) -> int:
    """Print and store the results; 0 where every goal is reached, else 1."""
    for goal in goals:
        sign = "<=" if goal.at_most else ">="
        verdict = "" if goal.reached else "   MISSED"
        print(f"{goal.name}: {goal.value:.4g} (goal {sign} {goal.goal:g}){verdict}")
    write_json(
        path,
        {"goals": [goal.as_dict() for goal in goals], **details, **provenance(seed)},
    )
    return 0 if all(goal.reached for goal in goals) else 1
