"""What images of other pixel sizes cost, and what the size estimate wins back.

    python -m benchmarks run size_estimation MODEL --data DIR --out RESULTS.json

The middles of images of a fold, some of each type, are shrunk and enlarged and predicted three
ways: as if they had the size of training, with the estimate, and with the true diameter of their
cells given. Masks are scored in the original's own frame. The same for simulated fields. Refuses a
model that was trained on the fold's images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigkingxxl.cli.progress import track
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.files import write_json
from bigkingxxl.geometry import resize, scaled_size
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.load import load_predictor
from bigkingxxl.inference.network import NetworkPredictor
from bigkingxxl.inference.selection import select
from bigkingxxl.inference.size.size_estimate import window_around
from bigkingxxl.instances import Instances
from bigkingxxl.models import ModelCard, model_hash
from bigkingxxl.provenance import provenance
from bigkingxxl.simulate.field import simulate_field

WAYS = ("size of training", "estimated", "given")
SEED = 7000
CROP = 416


class Sample:
    """An image with its cells and their type."""

    def __init__(self, name: str, pixels: Any, cells: Instances, cell_type: str) -> None:
        self.name, self.pixels = name, np.asarray(pixels, np.float32)
        self.cells, self.cell_type = cells, cell_type

    def image(self, factor: float) -> ArrayImage:
        """The image enlarged by a factor, as 8 bits: what a camera would have stored."""
        pixels = resize(self.pixels, scaled_size(self.cells.size, factor))
        return ArrayImage(np.rint(pixels).astype(np.uint8), self.name)


def main() -> None:
    """Parse, predict, score, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--images", type=int, default=6, help="of each type")
    parser.add_argument("--simulated", type=int, default=3, help="fields of each type")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5, 0.7, 1.0, 1.5, 2.0])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    predictor, card = load_predictor(options.model)
    if not card.image_diameters or card.median_diameter is None:
        raise InputError(f"{options.model} does not know the sizes of its training images")
    results: dict[str, Any] = {
        **provenance(SEED),
        "model": {"hash": model_hash(options.model), "method": card.method},
        "fold": options.fold,
    }
    for name, samples in (
        ("real", real(options, card.trained_on) if options.data else []),
        ("simulated", simulated(card.type_names, options.simulated)),
    ):
        results[name] = {"images": len(samples), "pixels": CROP**2, "factors": {}}
        for factor in options.factors if samples else []:
            found = measured(predictor, card, samples, factor)
            results[name]["factors"][f"{factor:g}"] = found
            print(name, factor, found["challenge_mix"])
            write_json(options.out, results)


def real(options: argparse.Namespace, trained_on: Sequence[str]) -> list[Sample]:
    """Images of the fold, spread over each of its types."""
    data = open_dataset(options.data)
    _, ids = fold_ids(data, options.fold)
    if set(ids) & set(trained_on):
        raise InputError(f"{options.model} was trained on images of this fold")
    return [sample_of(data, image_id) for image_id in spread(data, ids, options.images)]


def spread(data: Dataset, ids: Sequence[str], count: int) -> list[str]:
    """Every n-th image of each type, `count` of each."""
    by_type: dict[str, list[str]] = {}
    for image_id in ids:
        by_type.setdefault(str(data.cell_type(image_id)), []).append(image_id)
    return [
        image_id
        for _, own in sorted(by_type.items())
        for image_id in own[:: max(len(own) // count, 1)][:count]
    ]


def sample_of(data: Dataset, image_id: str) -> Sample:
    """The middle of an annotated image: a whole one, enlarged, is minutes of work."""
    source = data.source(image_id)
    window = window_around((source.shape[0] // 2, source.shape[1] // 2), CROP, source)
    cells = data.instances(image_id).crop(window)
    cells = cells.take(np.flatnonzero(cells.areas() > 0))
    return Sample(image_id, source.read(window), cells, str(data.cell_type(image_id)))


def simulated(type_names: Sequence[str], count: int) -> list[Sample]:
    """Fields that no model was trained on (their seeds are kept for this)."""
    samples = []
    for number, cell_type in enumerate([*type_names] * count):
        field = simulate_field(cell_type, seed=SEED + number, size=(CROP, CROP))
        size = (field.image.shape[0], field.image.shape[1])
        owner, flat = [], []
        for index, cell in enumerate(field.cells):
            row, col = np.nonzero(cell.mask)
            owner.append(np.full(len(row), index))
            flat.append((row + cell.row0) * size[1] + col + cell.col0)
        kinds = np.full(len(field.cells), type_names.index(cell_type), np.int16)
        cells = Instances.from_pixels(
            np.concatenate(owner), np.concatenate(flat), len(field.cells), size,
            cell_type=kinds, type_names=tuple(type_names),
        )  # fmt: skip
        samples.append(Sample(f"field{number}", field.image[None], cells, cell_type))
    return samples


def measured(
    predictor: NetworkPredictor, card: ModelCard, samples: Sequence[Sample], factor: float
) -> dict[str, Any]:
    """Scores at one factor by way, the sizes estimated, and what estimating costs."""
    truth = {each.name: each.cells for each in samples}
    types = {each.name: each.cell_type for each in samples}
    found: dict[str, dict[str, Instances]] = {way: {} for way in WAYS}
    sizes, seconds = {}, dict.fromkeys(WAYS, 0.0)
    diameter = factor * (card.median_diameter or 0)
    for sample in track(samples, label=f"times {factor:g}"):
        for way in WAYS:
            began = time.process_time()
            candidates = seen(predictor, sample.image(factor), way, diameter)
            seconds[way] += time.process_time() - began
            if way == "estimated":
                sizes[sample.name] = candidates.scale_ratio
            candidates = candidates.resize(sample.cells.size)
            found[way][sample.name] = select(candidates, card.operating_points)
    return row(truth, types, found, sizes, seconds, factor)


def seen(predictor: NetworkPredictor, image: ArrayImage, way: str, diameter: float) -> Any:
    """Candidates of an image, its size known, estimated or neglected."""
    predictor.estimate = way == "estimated"
    image.cell_diameter = diameter if way == "given" else None
    return predictor.candidates(image)


def row(
    truth: Mapping[str, Instances],
    types: Mapping[str, str],
    found: Mapping[str, Mapping[str, Instances]],
    sizes: Mapping[str, float],
    seconds: Mapping[str, float],
    factor: float,
) -> dict[str, Any]:
    """What was measured at one factor."""
    errors = np.abs(np.log2(np.array(list(sizes.values())) * factor))
    scores = {way: competition_map(truth, cells, types) for way, cells in found.items()}
    return {
        "challenge_mix": {way: score.challenge_mix for way, score in scores.items()},
        "by_type": {way: score.by_type for way, score in scores.items()},
        "cpu_seconds_an_image": {way: value / len(truth) for way, value in seconds.items()},
        "images_resized": sum(size != 1 for size in sizes.values()),
        "median_error_of_the_estimate_octaves": float(np.median(errors)),
        "scale_ratios": dict(sizes),
    }


if __name__ == "__main__":
    main()
