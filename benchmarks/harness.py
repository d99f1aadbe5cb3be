"""The common parts of all benchmarks: command line, timing, results and tables."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.errors import BigKingXXLError, InputError
from bigkingxxl.files import write_json
from bigkingxxl.provenance import provenance

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
REAL_DATA = Path(os.environ.get("BIGKINGXXL_DATA", ROOT.parent / "shared" / "sartorius"))
FOLDERS = ("speed", "accuracy", "scale", "studies")
PROGRAM = "python -m benchmarks"
USAGE = (
    f"{PROGRAM} [list | run NAME OPTIONS | table NAME]; `run NAME --help` tells the options of one"
)


# ---- timing ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Wall and CPU seconds, the minimum of several runs."""

    wall: float
    cpu: float

    def as_dict(self) -> dict[str, float]:
        """Return rounded values for JSON."""
        return {"wall_s": round(self.wall, 4), "cpu_s": round(self.cpu, 4)}


def timed(work: Callable[[], T], tries: int = 1) -> tuple[T, Timing]:
    """Return the last result of `work` and its minimum times.

    Ratios use the CPU time of all threads, because wall time depends on other jobs.
    """
    results, times = by_turns({"": work}, tries)
    return results[""], times[""]


def by_turns(
    works: Mapping[str, Callable[[], Any]], tries: int
) -> tuple[dict[str, Any], dict[str, Timing]]:
    """Return the last result and the minimum times of each work; they run alternately."""
    best = dict.fromkeys(works, Timing(float("inf"), float("inf")))
    results: dict[str, Any] = {}
    for _ in range(tries):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            results[name] = work()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            best[name] = Timing(min(best[name].wall, wall), min(best[name].cpu, cpu))
    return results, best


@dataclass(frozen=True)
class Goal:
    """A measured value and its goal."""

    name: str
    value: float
    goal: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Whether the goal is reached."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        key = "at_most" if self.at_most else "at_least"
        value = float(f"{self.value:.4g}")
        return {"name": self.name, "value": value, key: self.goal, "reached": self.reached}


# ---- images ---------------------------------------------------------------------------------


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Select up to `count` of the items, evenly spaced, in their order."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def evenly_by_type(data: Dataset, ids: Sequence[str], count: int) -> tuple[str, ...]:
    """Select `count` of the ids, in their order, with as equal a share of each type as possible."""
    by_type: dict[str, list[str]] = {}
    for image_id in ids:
        by_type.setdefault(data.cell_type(image_id) or "", []).append(image_id)
    share = dict.fromkeys(sorted(by_type), 0)
    while sum(share.values()) < min(count, len(ids)):
        kind = min(
            (kind for kind in share if share[kind] < len(by_type[kind])), key=share.__getitem__
        )
        share[kind] += 1
    chosen = {each for kind, own in by_type.items() for each in evenly(own, share[kind])}
    return tuple(image_id for image_id in ids if image_id in chosen)


# ---- results --------------------------------------------------------------------------------


def keep(path: Path, goals: list[Goal], details: Mapping[str, Any], seed: int | None = None) -> int:
    """Print and store the results; return 0 if every goal is reached, else 1."""
    stored = record(path, {"goals": [goal.as_dict() for goal in goals], **details}, seed)
    print(results_table(stored))
    return 0 if all(goal.reached for goal in goals) else 1


def record(path: Path, content: Mapping[str, Any], seed: int | None = None) -> dict[str, Any]:
    """Store results with command, date, device, versions and seed.

    Returns:
        What is stored.
    """
    command = f"{sys.argv[0]} {shlex.join(sys.argv[1:])}".rstrip()
    stored = {**content, **provenance(seed), "command": command}
    write_json(path, stored)
    return stored


def results_table(stored: Mapping[str, Any]) -> str:
    """Format the goals of a result, and below them all other values, as Markdown."""
    goals = [
        (goal["name"], f"{goal['value']:g}",
         f"at most {goal['at_most']:g}" if "at_most" in goal else f"at least {goal['at_least']:g}",
         "reached" if goal["reached"] else "MISSED")
        for goal in stored.get("goals", []) if isinstance(goal, Mapping)
    ]  # fmt: skip
    skipped = {"goals", "versions", "command"}
    rows = list(numbers({key: each for key, each in stored.items() if key not in skipped}))
    parts = [markdown(("goal", "measured", "expected", ""), goals)] if goals else []
    return "\n\n".join([*parts, markdown(("what", "measured"), rows)])


def numbers(content: Any, name: str = "") -> Iterable[tuple[str, str]]:
    """Yield the names and values of nested results; of long lists, only their length."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from numbers(value, f"{name}, {key}" if name else str(key))
    elif isinstance(content, list):
        short = len(content) <= 4 and not any(isinstance(each, Mapping | list) for each in content)
        yield name, ", ".join(map(str, content)) if short else f"{len(content)} values"
    else:
        yield name, f"{content:.4g}" if isinstance(content, float) else str(content)


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a Markdown table for all benchmarks."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


# ---- the command line -----------------------------------------------------------------------


def names() -> dict[str, str]:
    """Return each benchmark's name and module."""
    found = {}
    for folder in FOLDERS:
        place = Path(__file__).parent / folder
        for each in pkgutil.iter_modules([str(place)]):
            if "def main(" in (place / f"{each.name}.py").read_text("utf-8"):
                found[each.name] = f"benchmarks.{folder}.{each.name}"
    return found


def run(name: str, arguments: list[str]) -> int:
    """Run a benchmark as its own command line would.

    Returns:
        The exit status: 1 if a goal is missed.

    Raises:
        InputError: The name is unknown.
    """
    known = names()
    if name not in known:
        raise InputError(f"there is no benchmark '{name}', expected one of {', '.join(known)}")
    sys.argv = [f"{PROGRAM} run {name}", *arguments]
    return importlib.import_module(known[name]).main() or 0


def table(name: str) -> str:
    """Format the stored results of a benchmark as tables.

    Raises:
        InputError: There are none.
    """
    paths = sorted(RESULTS.glob(f"{name}.json")) or sorted(RESULTS.glob(f"{name}*.json"))
    if not paths:
        known = ", ".join(path.stem for path in sorted(RESULTS.glob("*.json")))
        raise InputError(f"no results of '{name}' are kept, expected one of {known}")
    texts = []
    for path in paths:
        stored = json.loads(path.read_text(encoding="utf-8"))
        texts.append(f"{path.relative_to(ROOT)}\n\n{results_table(stored)}")
    return "\n\n".join(texts)


def listing() -> str:
    """Return a line for each benchmark: its folder, its name and what it measures."""
    lines = []
    for name, module in names().items():
        folder = module.split(".")[1]
        text = (Path(__file__).parent / folder / f"{name}.py").read_text("utf-8")
        summary = text.lstrip('"').partition("\n")[0]
        lines.append(f"{folder:9} {name:20} {summary}")
    return "\n".join(lines)


def command_line() -> None:
    """Run the command line of the process."""
    try:
        match sys.argv[1:]:
            case [] | ["list"]:
                print(listing())
            case ["run", name, *arguments]:
                sys.exit(run(name, arguments))
            case ["table", name]:
                print(table(name))
            case _:
                raise InputError(USAGE)
    except BigKingXXLError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
