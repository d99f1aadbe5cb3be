"""Compare the power spectra of simulated and real phase-contrast images.

    python -m benchmarks run simulator_spectrum --data DIR [--images 40]

Each image has its mean removed, is weighted by a Hann window and Fourier transformed. Its power is
averaged over rings of equal frequency and then over images. The deviation of a ring is the ratio of
simulated to real power in decibels. The goal is 3 dB or less in every ring from 0.02 to 0.3 cycles
per pixel for the pooled images; each cell type is recorded as well. The data folder has the Kaggle
layout (train.csv and train/*.png). The exit status is 1 if the goal is missed, and 2 if the data do
not exist.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

from benchmarks.harness import RESULTS, record
from bigkingxxl.errors import BigKingXXLError, InputError
from bigkingxxl.simulate import CELL_TYPES, simulate_field

LOWEST, HIGHEST, WIDTH = 0.02, 0.30, 0.01
EDGES = np.round(np.arange(LOWEST, HIGHEST + WIDTH / 2, WIDTH), 4)
GOAL_DB = 3.0

Spectrum = NDArray[np.float64]


def radial_spectrum(image: NDArray[np.uint8]) -> Spectrum:
    """Return the power of an image uint8[H, W] in the rings between `EDGES`, float64[bins]."""
    values = image.astype(np.float64) - float(image.mean())
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])[None, :]
    power = np.abs(np.fft.fft2(values * window)) ** 2 / float((window**2).sum())
    frequency = np.hypot(
        np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])[None, :]
    )
    ring = np.digitize(frequency.ravel(), EDGES)
    total = np.bincount(ring, power.ravel(), EDGES.size + 1)
    return np.asarray((total / np.bincount(ring, minlength=EDGES.size + 1))[1:-1])


def real_image_paths(data: Path, images: int, rng: np.random.Generator) -> dict[str, list[Path]]:
    """Draw up to `images` annotated images of each cell type from a folder in Kaggle's layout."""
    table = data / "train.csv"
    if not table.is_file():
        raise InputError(f"{table} is missing; --data must hold train.csv and train/*.png.")
    csv.field_size_limit(2**31 - 1)
    with table.open(newline="") as rows:
        types = {row["id"]: row["cell_type"] for row in csv.DictReader(rows)}
    chosen: dict[str, list[Path]] = {}
    for cell_type in CELL_TYPES:
        names = sorted(name for name, found in types.items() if found == cell_type)
        picked = rng.permutation(len(names))[:images]
        chosen[cell_type] = [data / "train" / f"{names[index]}.png" for index in sorted(picked)]
    return chosen


def decibels(simulated: Spectrum, real: Spectrum) -> list[float]:
    """Return the deviation of each ring in decibels."""
    return [round(float(value), 2) for value in 10 * np.log10(simulated / real)]


def measure(data: Path, images: int, seed: int) -> dict[str, list[float]]:
    """Compute deviations by ring, for each cell type and for all images together ("pooled")."""
    paths = real_image_paths(data, images, np.random.default_rng(seed))
    real, simulated = {}, {}
    for cell_type in CELL_TYPES:
        real[cell_type] = np.array([radial_spectrum(imread(path)) for path in paths[cell_type]])
        fields = (simulate_field(cell_type, seed=seed + number) for number in range(images))
        simulated[cell_type] = np.array([radial_spectrum(field.image) for field in fields])
    result = {name: decibels(simulated[name].mean(0), real[name].mean(0)) for name in CELL_TYPES}
    pooled = [np.concatenate(list(group.values())).mean(0) for group in (simulated, real)]
    return {"pooled": decibels(*pooled), **result}


def summarised(deviations: dict[str, list[float]], images: int) -> dict[str, object]:
    """Return the result in its stored form."""
    worst = {name: max(map(abs, values)) for name, values in deviations.items()}
    return {
        "what": "simulated over real power spectrum, decibels by ring of spatial frequency",
        "images_per_type": images,
        "goal_db": GOAL_DB,
        "passed": worst["pooled"] <= GOAL_DB,
        "max_deviation_db": worst,
        "ring_edges_cycles_per_pixel": EDGES.tolist(),
        "deviation_db": deviations,
    }


def print_table(deviations: dict[str, list[float]]) -> None:
    """Print a row per ring, and the largest deviation below."""
    names = list(deviations)
    print("cycles/px    " + "".join(f"{name:>9}" for name in names))
    for ring, values in enumerate(zip(*deviations.values(), strict=True)):
        label = f"{EDGES[ring]:.2f}-{EDGES[ring + 1]:.2f}    "
        print(label + "".join(f"{value:9.2f}" for value in values))
    worst = (max(map(abs, values)) for values in deviations.values())
    print("largest      " + "".join(f"{value:9.2f}" for value in worst))


def main() -> int:
    """Measure, print and store; return the exit status."""
    parser = argparse.ArgumentParser(description="Power spectra of simulated and real images.")
    parser.add_argument("--data", type=Path, default=Path("dataset"))
    parser.add_argument("--out", type=Path, default=RESULTS / "simulator_spectrum.json")
    parser.add_argument("--images", type=int, default=40, help="real and simulated, each type")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    try:
        deviations = measure(options.data, options.images, options.seed)
    except BigKingXXLError as error:
        print(error, file=sys.stderr)
        return 2
    result = summarised(deviations, options.images)
    print_table(deviations)
    record(options.out, result, options.seed)
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
