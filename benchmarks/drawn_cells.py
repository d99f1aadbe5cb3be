"""Cells for measurements: those of the challenge if available, else as many drawn ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import write_annotations

SIZE = (520, 704)
# Images, cells per image and the side of a cell in pixels, as in the challenge's data.
DRAWN = {"astro": (106, 79, 30), "cort": (293, 34, 16), "shsy5y": (55, 297, 16)}


def annotation_table(data: Path, folder: Path) -> tuple[Path, str]:
    """Return the `train.csv` of the real data, or of drawn cells, and which one it is."""
    if (data / "train.csv").is_file():
        return data / "train.csv", "real: train.csv of the challenge"
    write_annotations(folder / "train.csv", drawn_annotations())
    return folder / "train.csv", "drawn: ellipses in the challenge's numbers"


def drawn_annotations(seed: int = 0) -> dict[str, Instances]:
    """Draw 454 images of ellipses with some overlap, as many as the challenge's cells."""
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
    """Return the ellipse that fills a box, bool[height, width]."""
    row, col = np.ogrid[:height, :width]
    inside = ((row + 0.5) / height - 0.5) ** 2 + ((col + 0.5) / width - 0.5) ** 2
    return inside <= 0.25
