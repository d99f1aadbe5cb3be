"""Time and memory of selecting, painting and measuring cells, before and after a change.

    git worktree add --detach BEFORE COMMIT
    python -m benchmarks run select_paint_measure --before BEFORE [--out FILE]

Each measurement is a process of its own that runs this file with the code of one of the two
checkouts, old and new in turn; without `--before` only this checkout is measured. Candidates are
drawn: 1,000, 10,000 and 100,000 cells of 16 to 32 pixels, of which a third are seen twice. Memory
is the peak of what Python and numpy allocate beyond the input. Exit status 1 where a goal is
missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COUNTS = (1_000, 10_000, 100_000)
STEPS = ("select", "paint", "measure")
TRIES = 3
SIDES = (16, 33)
PIXELS_A_CELL = 600
SEEN_TWICE = 1 / 3


def drawn(count: int) -> Any:
    """Candidates of `count` elliptical cells at random places."""
    from bigkingxxl.candidates import Candidates

    rng = np.random.default_rng(count)
    side = int((count * PIXELS_A_CELL) ** 0.5) + SIDES[1]
    twice = int(count * SEEN_TWICE)
    sizes = rng.integers(*SIDES, (count - twice, 2))
    corners = rng.integers(0, side - SIDES[1], (count - twice, 2))
    again = rng.integers(0, len(corners), twice)
    sizes = np.concatenate((sizes, sizes[again]))
    moved = np.maximum(corners[again] + rng.integers(-2, 3, (twice, 2)), 0)
    corners = np.concatenate((corners, moved))
    crops = [soft_ellipse(*size) for size in sizes.tolist()]
    boxes = np.concatenate((corners, corners + sizes), axis=1)
    score = rng.random(count)
    types = rng.dirichlet([1, 1, 1], count)
    return Candidates.from_crops((side + 8, side + 8), boxes, crops, score, types, ("a", "b", "c"))


def soft_ellipse(height: int, width: int) -> Any:
    """uint8[height, width]: 255 in the middle, falling to 0 at the corners of the box."""
    row, col = np.ogrid[:height, :width]
    distance = ((row + 0.5) / height - 0.5) ** 2 + ((col + 0.5) / width - 0.5) ** 2
    return np.clip(255 * (1 - 2 * distance), 0, 255).astype(np.uint8)


def input_bytes(candidates: Any) -> int:
    """What the arrays of the candidates take."""
    names = ("boxes", "probability", "offsets", "score", "type_probability")
    return sum(int(getattr(candidates, name).nbytes) for name in names)


def work_of(step: str, count: int) -> tuple[Callable[[], Any], int]:
    """What is measured, ready to run, and the bytes of its input."""
    from bigkingxxl.images import ArrayImage
    from bigkingxxl.inference.selection import select
    from bigkingxxl.io.tables.measurements import measure
    from bigkingxxl.operating_points import OperatingPoints

    candidates = drawn(count)
    points = OperatingPoints()
    if step == "select":
        return lambda: select(candidates, points), input_bytes(candidates)
    cells = select(candidates, points)
    if step == "paint":
        return cells.label_map, input_bytes(candidates)
    pixels = np.random.default_rng(0).integers(0, 255, cells.size, np.uint8)
    source = ArrayImage(pixels)
    return lambda: measure(source, cells), input_bytes(candidates)


def child(step: str, count: int) -> None:
    """Measure one step in this process and print what was found."""
    work, size = work_of(step, count)
    seconds = []
    for _ in range(TRIES if count < COUNTS[-1] else 1):
        begun = time.process_time()
        work()
        seconds.append(time.process_time() - begun)
    tracemalloc.start()
    result = work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(json.dumps({"cpu_s": min(seconds), "peak_bytes": peak, "input_bytes": size,
                      "check": checksum(result)}))  # fmt: skip


def checksum(result: Any) -> float:
    """A number by which two results are seen to be the same."""
    if hasattr(result, "runs"):
        return float((result.runs.astype(np.int64) @ np.array([1, 3, 7])).sum() + len(result))
    if isinstance(result, dict):
        return float(sum(np.nansum(result[name]) for name in sorted(result) if name != "type"))
    return float(result.astype(np.int64).sum())


def measured(tree: Path, step: str, count: int) -> dict[str, float]:
    """What the child finds with the code of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--child", step, str(count)],
        env=environment, cwd=tree, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compared(before: Path | None, after: Path) -> list[dict[str, Any]]:
    """A row for each step and number of cells."""
    rows = []
    for count in COUNTS:
        for step in STEPS:
            new = measured(after, step, count)
            row: dict[str, Any] = {"step": step, "cells": count, "after": shown(new)}
            if before is not None:
                old = measured(before, step, count)
                if not np.isclose(old["check"], new["check"], rtol=1e-9):
                    raise SystemExit(f"{step} of {count} cells: the two do not agree")
                row |= {"before": shown(old), "faster": round(old["cpu_s"] / new["cpu_s"], 2),
                        "smaller": round(old["peak_bytes"] / new["peak_bytes"], 2)}  # fmt: skip
            print(row, flush=True)
            rows.append(row)
    return rows


def shown(found: dict[str, float]) -> dict[str, float]:
    """Rounded, for JSON."""
    return {
        "cpu_s": round(found["cpu_s"], 4),
        "peak_mb": round(found["peak_bytes"] / 1e6, 1),
        "times_its_input": round(found["peak_bytes"] / found["input_bytes"], 2),
    }


def main() -> int:
    """Measure, print, store; the exit status."""
    parser = argparse.ArgumentParser(description="Select, paint, measure: time and memory.")
    parser.add_argument("--before", type=Path, help="a checkout of the code to compare with")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=2, metavar=("STEP", "CELLS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], int(options.child[1]))
        return 0
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root))
    from benchmarks.bench_cells import RESULTS, Goal, keep

    rows = compared(options.before, root)
    goals = []
    for row in rows:
        if row["cells"] == COUNTS[-1]:
            goals.append(Goal(f"{row['step']}, 100,000 cells: memory over its input",
                              row["after"]["times_its_input"], 10, at_most=True))  # fmt: skip
            if "faster" in row:
                goals.append(Goal(f"{row['step']}, 100,000 cells: times faster", row["faster"],
                                  2 if row["step"] == "select" else 1))  # fmt: skip
    out = options.out or RESULTS / "select_paint_measure.json"
    return keep(out, goals, {"rows": rows})


if __name__ == "__main__":
    sys.exit(main())
