"""The number of cells that a model finds in images without cells.

    python -m benchmarks run empty_images MODEL [--data POOL] [--each 12] --out FILE

    simulated    simulated fields with debris, dots and a rough medium, but no cells
    noise        shot noise of 1 to 1,000 photons, plain or slightly smoothed, on a gradient
    background   the largest window without a cell of each annotated image
    defocused    annotated images, blurred until no outline is left

None of them contains a cell, so every cell that is found is wrong. For comparison, the cells found
in the same annotated images without changes are counted: a rule against wrong cells must not reduce
them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.harness import evenly, record
from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import open_datasets
from bigkingxxl.geometry import Window, disc_diameter
from bigkingxxl.images import ArrayImage, ImageSource
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.model_files import model_hash, resolve_model
from bigkingxxl.runs.selection import Selection
from bigkingxxl.simulate import CELL_TYPES, simulate_field

SMALLEST = 96  # pixels: the shorter side of a background window
LARGEST = 512
BLUR = 1.0  # standard deviation, in median cell diameters of the image


def main() -> None:
    """Predict the images of each kind and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--each", type=int, default=12, help="images of each kind")
    parser.add_argument("--keep-blurred", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    path = resolve_model(options.model)
    predictor, card = load_predictor(path, "cpu")
    selection = Selection(card.operating_points, keep_blurred=options.keep_blurred)
    kinds: dict[str, Iterator[ImageSource]] = {
        "simulated": simulated(options.each), "noise": noise(options.each),
    }  # fmt: skip
    if options.data:
        data = open_datasets(options.data)
        ids = evenly(data.ids, options.each)
        kinds |= {
            "background": (window for each in ids if (window := background(data, each))),
            "defocused": (defocused(data, each) for each in ids),
            "as they are": (data.source(each) for each in ids),
        }
    result = {kind: count_cells(predictor, selection, sources) for kind, sources in kinds.items()}
    for kind, found in result.items():
        print(kind, {key: value for key, value in found.items() if key != "per_image"})
    if options.out:
        record(options.out, {"model": model_hash(path), "kinds": result}, 0)


def simulated(count: int) -> Iterator[ImageSource]:
    """Yield fields without cells, of each type of the challenge in turn."""
    for seed in range(count):
        kind = CELL_TYPES[seed % len(CELL_TYPES)]
        field = simulate_field(kind, size=(260, 352), seed=7000 + seed, cell_count=0)
        yield ArrayImage(field.image, f"{kind}_{seed}")


def noise(count: int) -> Iterator[ImageSource]:
    """Yield images that show nothing but the noise of a camera."""
    gradient = np.add.outer(np.linspace(0.9, 1.0, 260), np.linspace(0.0, 0.1, 352))
    for seed in range(count):
        photons = np.random.default_rng(seed).poisson(10.0 ** (seed % 4) * gradient)
        smooth = ndimage.gaussian_filter(photons.astype(np.float32), (0.0, 0.6, 1.0)[seed % 3])
        yield ArrayImage(smooth, f"noise_{seed}")


def background(data: Dataset, image_id: str) -> ImageSource | None:
    """Return the largest square without a cell of an image; None if it is too small."""
    empty = data.instances(image_id).label_map() == 0
    ignored = data.ignored(image_id)
    if ignored is not None:
        empty &= ~ignored
    window = largest_square(empty)
    if window is None or min(window.size) < SMALLEST:
        return None
    return ArrayImage(data.source(image_id).read(window), f"{image_id} {tuple(window)}")


def largest_square(empty: NDArray[np.bool_]) -> Window | None:
    """Return the largest square of True, at most `LARGEST` wide."""
    padded = np.pad(empty, 1)
    distance = ndimage.distance_transform_cdt(padded, "chessboard")[1:-1, 1:-1]
    row, col = np.unravel_index(int(distance.argmax()), distance.shape)
    reach = min(int(distance[row, col]) - 1, LARGEST // 2)
    if reach < 1:
        return None
    return Window(int(row) - reach, int(col) - reach, int(row) + reach + 1, int(col) + reach + 1)


def defocused(data: Dataset, image_id: str) -> ImageSource:
    """Blur an image in proportion to its cells, and add camera noise."""
    pixels = data.source(image_id).read()
    areas = data.instances(image_id).areas()
    sigma = BLUR * float(np.median(disc_diameter(areas))) if len(areas) else 10.0
    blurred = np.stack([ndimage.gaussian_filter(each, sigma) for each in pixels])
    noise = np.random.default_rng(0).normal(0, 1.5, blurred.shape)
    return ArrayImage((blurred + noise).astype(np.float32), image_id)


def count_cells(
    predictor: Predictor, selection: Selection, sources: Iterator[ImageSource]
) -> dict[str, Any]:
    """Count what is found in some images."""
    per_image: dict[str, dict[str, Any]] = {}
    for source in sources:
        candidates = predictor.candidates(source)
        cells, left_out = selection.cells_of(source, candidates)
        score = np.zeros(0) if cells.score is None else cells.score
        per_image[source.name] = {
            "cells": len(cells), "pixels": source.shape[0] * source.shape[1],
            "scores": sorted((round(float(each), 3) for each in score), reverse=True)[:20],
            "diameter": candidates.cell_diameter, "out_of_focus": bool(left_out),
            "covered": float(cells.areas().sum()) / (source.shape[0] * source.shape[1]),
        }  # fmt: skip
    counts = [each["cells"] for each in per_image.values()]
    return {
        "images": len(counts),
        "with_cells": int(np.count_nonzero(counts)),
        "cells": int(sum(counts)),
        "cells_per_megapixel": 1e6 * sum(counts) / sum(e["pixels"] for e in per_image.values()),
        "per_image": per_image,
    }


if __name__ == "__main__":
    main()
