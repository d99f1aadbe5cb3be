"""The number of training crops per second and core, and the memory of training.

    python -m benchmarks run training_feed --data DIR --out benchmarks/results/training_feed.json

Only the image with the most cells is used, at twice its resolution. The goals are 8 crops of 256 x
256 per second on one core, and a training run within 4 GB.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import record
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.methods.registry import make_method
from bigkingxxl.training.crops import CropDataset
from bigkingxxl.training.recipe import Recipe, load_recipe
from bigkingxxl.training.run import train

CROPS = 80


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    data = open_dataset(options.data)
    densest = max(data.ids, key=lambda image_id: len(data.instances(image_id)))
    rates = {name: crops_a_second(data, densest, name) for name in ("unetr", "compact")}
    memory = {name: peak_training_gb(data, densest, name) for name in ("unetr", "compact")}
    record(options.out, {
        "cells": len(data.instances(densest)),
        "crops_a_second_one_core": rates,
        "peak_training_gb_process": memory,
        "goals": {"crops_a_second": 8, "peak_gb": 4},
    }, 0)  # fmt: skip
    print(rates, memory)


def doubled(name: str) -> Recipe:
    """Return a recipe at twice the resolution with a few steps only."""
    recipe = load_recipe(name)
    short = recipe.training.changed(
        epochs=1, crops_per_epoch=48, validation_images=1, workers=0, max_minutes=None
    )
    twice = recipe.augment.changed(zoom=(2.0, 2.0))
    prediction = recipe.prediction.changed(scale=2.0)
    return recipe.changed(
        training=short.model_dump(), augment=twice.model_dump(), prediction=prediction.model_dump()
    )


def crops_a_second(data: Dataset, image_id: str, name: str) -> float:
    """Measure crops per second with their targets, in this process."""
    recipe = doubled(name)
    method = make_method(recipe.method, recipe.settings, data.type_names)
    crops = CropDataset(data, [image_id], method, recipe)
    crops[0]
    began = time.process_time()
    for index in range(CROPS):
        crops[index]
    return CROPS / (time.process_time() - began)


def peak_training_gb(data: Dataset, image_id: str, name: str) -> float:
    """Return the peak memory of a process that trains and validates on the image."""
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_train_alone, (data, image_id, name)))


def _train_alone(data: Dataset, image_id: str, name: str) -> float:
    single = replace(data, ids=(image_id,))
    with tempfile.TemporaryDirectory() as folder:
        train(doubled(name), single, Path(folder) / "run", fold=-1, device="cpu", quiet=True)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
