"""Can a detector learn at all: eight tiles of real images by heart, then found again.

    python -m benchmarks run overfit --data DIR [--only NAME] [--minutes 10] [--out FILE]

Mask R-CNN and Cascade over an EfficientNet-Lite with ImageNet weights, and Mask R-CNN over a Swin-T
from scratch, each train on the same eight tiles of 208 x 281 pixels (drawn with a fixed seed, never
augmented, enlarged twice) until their mask AP50 there, at 2,000 detections, exceeds 0.8 or the time
is over. The score is in-sample on purpose: a detector that cannot reach it has a fault. With
--only what is stored of the other cases stays.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bench_cells import RESULTS, Goal, keep
from bigkingxxl.candidates import Candidates
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.evaluation.average_precision import coco_table
from bigkingxxl.geometry import Affine
from bigkingxxl.images import Normalisation
from bigkingxxl.instances import Instances
from bigkingxxl.methods.base import Batch, Crop, Method
from bigkingxxl.methods.registry import make_method
from bigkingxxl.training.muon import Muon, parameter_groups
from bigkingxxl.training.recipe import load_recipe

TILE, ENLARGED, TILES = (208, 281), (416, 562), 8
GOAL = 0.8
SMALL: dict[str, Any] = {**load_recipe("mask_rcnn").settings, "regions": 128, "rpn_samples": 256}
LITE: dict[str, Any] = {**SMALL, "norm": "frozen"}
SWIN = {"backbone": "swin_tiny_patch4_window7_224", "pretrained": "none"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "Mask R-CNN, EfficientNet-Lite0": ("mask_rcnn", LITE),
    "Cascade, EfficientNet-Lite0": ("cascade_rcnn", LITE),
    "Mask R-CNN, Swin-T": ("mask_rcnn", {**SMALL, **SWIN}),
}


def random_tiles(data: Dataset, seed: int) -> list[tuple[Crop, Instances]]:
    """Eight enlarged tiles with cells, and their annotations as they are scored."""
    rng = np.random.default_rng(seed)
    found: list[tuple[Crop, Instances]] = []
    while len(found) < TILES:
        image_id = data.ids[rng.integers(len(data.ids))]
        source, cells = data.source(image_id), data.instances(image_id)
        row, col = (
            int(rng.integers(side - tile + 1)) + (tile - 1) / 2
            for side, tile in zip(source.shape, TILE, strict=True)
        )
        view = Affine.around((row, col), ENLARGED, zoom=2)
        planes = view.warp_labels(cells.planes(), ENLARGED)
        if planes.any():
            pixels = view.warp(Normalisation().apply(source.read(), source.statistics), ENLARGED)
            found.append((Crop(pixels, planes, cells.cell_type), seen_cells(planes, cells)))
    return found


def seen_cells(planes: NDArray[np.int32], cells: Instances) -> Instances:
    """The cells of label planes that have pixels there."""
    plane, row, col = np.nonzero(planes)
    owner = planes[plane, row, col].astype(np.int64) - 1
    seen = Instances.from_pixels(
        owner, row * ENLARGED[1] + col, len(cells), ENLARGED, cell_type=cells.cell_type,
        type_names=cells.type_names,
    )  # fmt: skip
    return seen.take(seen.areas() > 0)


def learn(method: Method, tiles: list[tuple[Crop, Instances]], minutes: float) -> dict[str, Any]:
    """Train until the goal or the end of time; what was reached."""
    torch.manual_seed(0)
    network = method.build()
    method.initialise(network)
    network = network.to(memory_format=torch.channels_last)
    optimizer = Muon(parameter_groups(network, muon=True), lr=1e-3, weight_decay=0.0)
    targets = [method.targets(crop) for crop, _ in tiles]
    # Transformers take whole patches only; mirrored cells would be cells that nobody annotated.
    beyond = [(0, -side % method.stride) for side in ENLARGED]
    padded = [np.pad(crop.image, ((0, 0), *beyond)) for crop, _ in tiles]
    images = torch.from_numpy(np.stack(padded))
    images = images.contiguous(memory_format=torch.channels_last)
    began, rounds, reached = time.process_time(), 0, 0.0
    while reached <= GOAL and time.process_time() - began < 60 * minutes:
        for first in range(0, TILES, 2):
            pair = slice(first, first + 2)
            with torch.autocast("cpu", torch.bfloat16):
                loss = method.loss(network, Batch(images[pair], targets[pair]))["loss"]
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
        rounds += 1
        if rounds % 10 == 0:
            reached = ap50(method, network, images, [cells for _, cells in tiles])
            print(
                f"round {rounds}: loss {float(loss.detach()):.3f}, AP50 {reached:.3f}", flush=True
            )
    cpu = (time.process_time() - began) / 60
    return {"ap50_in_sample": reached, "rounds": rounds, "cpu_minutes": cpu}


def ap50(method: Method, network: Any, images: Any, truth: list[Instances]) -> float:
    """Mask AP at an IoU of 0.5 and 2,000 detections, over the tiles themselves."""
    network.eval()
    found: dict[str, Candidates] = {}
    with torch.inference_mode():
        for index in range(len(truth)):
            (each,) = method.detect(network, images[index : index + 1])
            found[str(index)] = each.shift(0, 0, ENLARGED)
    network.train()
    table = coco_table({str(i): each for i, each in enumerate(truth)}, found)
    return float(table.value("AP", 50) or 0.0)


def stored_cases(path: Path) -> dict[str, Any]:
    """What an earlier run found."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return {name: found[name] for name in CASES if name in found}


def main() -> int:
    """Learn each case, write what was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--minutes", type=float, default=15, help="of CPU time, at most, a case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "overfit.json")
    options = parser.parse_args()
    data = open_dataset(options.data)
    tiles = random_tiles(data, options.seed)
    results = stored_cases(options.out) if options.only else {}
    for name, (method_name, settings) in CASES.items():
        if options.only in (None, name):
            print(name, flush=True)
            method = make_method(method_name, settings, data.type_names)
            results[name] = learn(method, tiles, options.minutes)
    results = {name: results[name] for name in CASES if name in results}
    goals = [Goal(f"AP50, {name}", each["ap50_in_sample"], GOAL) for name, each in results.items()]
    cells = sum(len(each) for _, each in tiles)
    return keep(options.out, goals, {**results, "tiles": TILES, "cells": cells}, options.seed)


if __name__ == "__main__":
    sys.exit(main())
