"""Runs over simulated fields, with candidates from the truth: made in a second, without a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.simulate.field import SimulatedField, simulate_field
from tests.threshold import NAMES, run

SIZE = (200, 280)


class Seen:
    """A predictor that returns the truth, with high scores for some cells only."""

    def __init__(self, truth: dict[str, Instances]) -> None:
        self.truth = truth

    def scale_of(self, candidates: Candidates) -> float:
        return candidates.scale_ratio

    def candidates(self, source: ImageSource) -> Candidates:
        cells = self.truth[source.name]
        boxes = cells.boxes()
        labels = cells.label_map()
        crops = [
            np.where(labels[r0:r1, c0:c1] == number, 255, 0).astype(np.uint8)
            for number, (r0, c0, r1, c1) in enumerate(boxes.tolist(), 1)
        ]
        # One in four lies below the threshold: stored, but no cell.
        score = np.array([0.2 if n % 4 == 3 else 0.5 + 0.4 * ((n * 7) % 11) / 11
                          for n in range(len(boxes))], np.float32)  # fmt: skip
        kind = np.array([[0.8, 0.2] if n % 3 else [0.3, 0.7] for n in range(len(boxes))])
        return Candidates.from_crops(
            source.shape, boxes, crops, score, kind.astype(np.float32).reshape(-1, 2), NAMES
        )


def truth_of(field: SimulatedField) -> Instances:
    """The field's cells without the pixels that a later one covers."""
    labels = np.zeros(field.image.shape, np.int64)
    for number, cell in enumerate(field.cells, 1):
        height, width = cell.mask.shape
        part = labels[cell.row0 : cell.row0 + height, cell.col0 : cell.col0 + width]
        part[cell.mask] = number
    kept, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape) + (0 if kept[0] == 0 else 1)
    return Instances.from_label_map(numbers)


def simulated_run(
    folder: Path, images: int = 2, *, size: tuple[int, int] = SIZE, cells: int = 24, seed: int = 5
) -> Path:
    """A run in `folder/run` over images in `folder/images`."""
    (folder / "images").mkdir(parents=True)
    truth, paths = {}, []
    for index in range(images):
        field = simulate_field("cort", size=size, seed=seed + index, cell_count=cells)
        name = f"field_{index:02d}"
        truth[name] = truth_of(field)
        paths.append(folder / "images" / f"{name}.png")
        Image.fromarray(field.image).save(paths[-1])
    result = run(paths, folder / "run", "labels", "measurements", "summary",
                 predictor=Seen(truth))  # type: ignore[arg-type]  # fmt: skip
    assert not result.failed
    return folder / "run"
