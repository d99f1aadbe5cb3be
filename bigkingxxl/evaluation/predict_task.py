"""Predict images in a process of its own, so that its time and memory are its own.

    python -m bigkingxxl.evaluation.predict_task TASK.json

The task names models, a data set, its images, a folder and a device; see `contestants.run_model`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.evaluation.contestants import COSTS, place_of
from bigkingxxl.files import write_json
from bigkingxxl.inference.load_ensemble import load_ensemble
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.settings import checked


def predict(task: Path) -> None:
    """Predict what is not there, and keep what each image took: wall and processor seconds."""
    settings = json.loads(task.read_text(encoding="utf-8"))
    folder = Path(settings["out"])
    costs = _costs(folder / COSTS)
    todo = [
        image_id for image_id in settings["ids"]
        if image_id not in costs["images"] or not place_of(folder, image_id).is_file()
    ]  # fmt: skip
    if not todo:
        return
    dataset = open_dataset(Path(settings["data"]))
    points = settings["points"]
    predictor, _ = load_ensemble(
        [Path(each) for each in settings["models"]], settings["device"],
        weights=settings["weights"], changes=settings["changes"],
        points=None if points is None else checked(OperatingPoints, points),
    )  # fmt: skip
    # The first image finds nothing warm: it is predicted once before it is timed.
    predictor.candidates(dataset.source(todo[0]))
    for image_id in todo:
        wall, cpu = time.perf_counter(), time.process_time()
        found = predictor.candidates(dataset.source(image_id))
        costs["images"][image_id] = [time.perf_counter() - wall, time.process_time() - cpu]
        found.save(place_of(folder, image_id))
        write_json(folder / COSTS, costs)


def _costs(path: Path) -> dict[str, dict[str, list[float]]]:
    try:
        costs: dict[str, dict[str, list[float]]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"images": {}}
    return costs if isinstance(costs.get("images"), dict) else {"images": {}}


def main() -> int:
    """The exit status; what a user can mend is one sentence on stderr."""
    try:
        predict(Path(sys.argv[1]))
    except BigKingXXLError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
