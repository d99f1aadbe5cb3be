"""Predict images in a separate process, so that its time and memory can be measured.

    python -m bigkingxxl.evaluation.predict_task TASK.json

The task names the models, a data set, its images, a folder and a device; see
`compared_methods.run_model`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import astuple
from pathlib import Path
from typing import Any

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.evaluation.compared_methods import COSTS, place_of
from bigkingxxl.files import write_json
from bigkingxxl.inference.load_ensemble import load_ensemble
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.records import Stamp
from bigkingxxl.settings import checked


def predict(task: Path) -> None:
    """Predict missing images and store the wall and processor seconds of each.

    An image whose file has changed is predicted again.
    """
    settings = json.loads(task.read_text(encoding="utf-8"))
    folder = Path(settings["out"])
    costs = _costs(folder / COSTS)
    dataset = open_dataset(Path(settings["data"]))
    stamps = {
        image_id: _stamp(dataset.image_path(image_id), costs["files"].get(image_id))
        for image_id in settings["ids"]
    }
    todo = [
        image_id for image_id, stamp in stamps.items()
        if image_id not in costs["images"] or not place_of(folder, image_id).is_file()
        or stamp[-1] != costs["files"].get(image_id, [None])[-1]
    ]  # fmt: skip
    if not todo:
        return
    points = settings["points"]
    predictor, _ = load_ensemble(
        [Path(each) for each in settings["models"]], settings["device"],
        weights=settings["weights"], changes=settings["changes"],
        points=None if points is None else checked(OperatingPoints, points),
    )  # fmt: skip
    # The first prediction warms up and is not timed.
    predictor.candidates(dataset.source(todo[0]))
    for image_id in todo:
        wall, cpu = time.perf_counter(), time.process_time()
        found = predictor.candidates(dataset.source(image_id))
        costs["images"][image_id] = [time.perf_counter() - wall, time.process_time() - cpu]
        costs["files"][image_id] = stamps[image_id]
        found.save(place_of(folder, image_id))
        costs["memory"] = max(costs["memory"] or 0, peak_memory() or 0) or None
        write_json(folder / COSTS, costs)


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes; None if the system does not report it."""
    try:
        # The usage of resources includes what the parent process had when it started this one.
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(text.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # on Windows
        return None
    # In kilobytes, except on macOS.
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used * (1 if sys.platform == "darwin" else 1024)


def _stamp(path: Path, known: list[Any] | None) -> list[Any]:
    """Return the length, time and hash of an image file."""
    try:
        return list(astuple(Stamp.of(path, None if known is None else Stamp(*known))))
    except OSError:
        return [0, 0, ""]  # opening it will report the error


def _costs(path: Path) -> dict[str, Any]:
    try:
        costs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        costs = {}
    kept = all(isinstance(costs.get(key), dict) for key in ("images", "files"))
    return {"memory": None, **costs} if kept else {"images": {}, "files": {}, "memory": None}


def main() -> int:
    """Run the task and return the exit status; a user error is one sentence on stderr."""
    try:
        predict(Path(sys.argv[1]))
    except BigKingXXLError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
