"""Pictures for the model card: where a model fails, on simulated look-alikes of real fields.

    python docs/make_failures.py MODEL bigkingxxl/weights/failures-sartorius.png

For each cell type, the picture shows the worst of some simulated fields, and in it the window in
which the fewest cells are found: the image on the left, the true outlines in the middle, and the
predicted ones on the right.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import bigkingxxl as bk
from bigkingxxl.evaluation.competition_map import match_counts
from bigkingxxl.files import whole_file
from bigkingxxl.geometry import Window
from bigkingxxl.images import ArrayImage
from bigkingxxl.instances import Instances
from bigkingxxl.io.pictures.overlay import draw_overlay
from bigkingxxl.simulate import CELL_TYPES, SimulatedField, simulate_field

SEEDS = range(900, 906)
SIDE, STEP = 128, 32
ENLARGED = 2


def main() -> None:
    """Simulate, predict, find the worst window, and draw it."""
    model = bk.load(sys.argv[1])
    rows = [worst_window(model, cell_type) for cell_type in CELL_TYPES]
    with whole_file(Path(sys.argv[2])) as temporary:
        picture = Image.fromarray(np.vstack(rows))
        size = (picture.width * ENLARGED, picture.height * ENLARGED)
        picture.resize(size, Image.Resampling.NEAREST).save(temporary, optimize=True)


def worst_window(model: bk.LoadedModel, cell_type: str) -> NDArray[np.uint8]:
    """uint8[128, 384, 3]: image, truth and prediction where they agree least."""
    fields = [simulate_field(cell_type, size=(520, 704), seed=seed) for seed in SEEDS]
    found = [model.predict(field.image).instances for field in fields]
    pairs = [(truth_of(field), cells) for field, cells in zip(fields, found, strict=True)]
    scores = [match_counts(truth, cells).score for truth, cells in pairs]
    worst = int(np.argmin(scores))
    truth, cells = pairs[worst]
    window = min(windows(truth.size), key=lambda each: agreement(truth, cells, each))
    sys.stdout.write(f"{cell_type}: seed {SEEDS[worst]}, mAP {scores[worst]:.3f}, {window}\n")
    pixels = fields[worst].image[window.slices]
    source = ArrayImage(pixels)
    parts = [draw_overlay(source, inside(each, window)) for each in (truth, cells)]
    return np.hstack([np.repeat(pixels[..., None], 3, axis=2), *(shrunk(each) for each in parts)])


def shrunk(overlay: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8[128, 128, 3]: an overlay in the size of its image."""
    factor = overlay.shape[0] // SIDE
    return overlay[::factor, ::factor]


def truth_of(field: SimulatedField) -> Instances:
    """Return the true cells of a simulated field."""
    corners = [(cell.row0, cell.col0) for cell in field.cells]
    return Instances.from_crops(corners, [cell.mask for cell in field.cells], field.image.shape)


def windows(size: tuple[int, int]) -> list[Window]:
    """Return squares all over an image."""
    return [
        Window(row, col, row + SIDE, col + SIDE)
        for row in range(0, size[0] - SIDE, STEP)
        for col in range(0, size[1] - SIDE, STEP)
    ]


def agreement(truth: Instances, cells: Instances, window: Window) -> float:
    """Return the average precision inside a window; windows with hardly a cell do not count."""
    expected = inside(truth, window)
    return match_counts(expected, inside(cells, window)).score if len(expected) >= 4 else 1.0


def inside(cells: Instances, window: Window) -> Instances:
    """Return the part of the cells inside a window."""
    cut = cells.crop(window)
    return cut.take(np.flatnonzero(cut.areas()))


if __name__ == "__main__":
    main()
