"""Detectors compared with torchvision's: time and memory per image, and masks to runs.

    python -m benchmarks run detector_speed [--detections 100 800] [--out FILE]

Our Mask R-CNN and torchvision's `maskrcnn_resnet50_fpn_v2` process the same image of 704 x 520
pixels, both with a ResNet-50 with random weights, and both are made to return exactly the same
number of detections (no score floor, no suppression). Ours computes in bfloat16, its default on
CPUs, and torchvision's in float32, its default; the time of ours in float32 is recorded as well.
Each runs in a separate process, twice alternately and twice in each; the fastest run counts, in
processor seconds, which other jobs on the machine affect least. Memory is the growth of the process
at its peak beyond libraries and weights, and the total peak. Then 800 region masks are converted to
runs: through our candidates, and through torchvision's full-size masks and pycocotools. Last are
the heaviest cases that must fit, including libraries and weights: training on an image of 782 cells
at twice the resolution, and predicting one of 800. The exit status is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drawn_cells import SIZE
from benchmarks.harness import RESULTS, Goal, keep, timed

TYPES = ("astro", "cort", "shsy5y")
GIB = 2**30
SIDES = ("ours", "torchvision", "ours, float32")
RUNS = 2  # per image; the first one includes one-time initialisation
DENSE = 782  # the largest number of cells in an image of the challenge


def predicting(side: str, detections: int) -> Callable[[], int]:
    """Return a function that predicts the image and returns the number of detections."""
    import torch

    torch.manual_seed(0)
    image = torch.rand(3, *SIZE)
    if side.startswith("ours"):
        return _ours(image, detections, exact=side != "ours")
    from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

    network = maskrcnn_resnet50_fpn_v2(
        weights=None, weights_backbone=None, num_classes=1 + len(TYPES), min_size=min(SIZE),
        max_size=max(SIZE), rpn_post_nms_top_n_test=1000, rpn_pre_nms_top_n_test=1000,
        box_score_thresh=-1.0, box_nms_thresh=1.0, box_detections_per_img=detections,
    ).eval()  # fmt: skip

    def run() -> int:
        with torch.inference_mode():
            return len(network([image])[0]["masks"])

    return run


def _ours(image: Any, detections: int, *, exact: bool) -> Callable[[], int]:
    import torch

    from bigkingxxl.inference.load_model import TorchDetections
    from bigkingxxl.methods.registry import make_method

    method = make_method(
        "mask_rcnn",
        {
            "image_channels": 3, "backbone": "resnet50", "rpn_depth": 2, "box_head": "conv",
            "head_norm": "batch", "proposals": (1000, 1000), "score_floor": 0.0, "box_nms": 1.0,
            "detections": detections, "anchor_ratios": (0.5, 1.0, 2.0), "rescore": False,
            "anchor_sizes": ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)),
        },
        TYPES,
    )  # fmt: skip
    network = method.build().eval()
    detect = TorchDetections(method, network, "cpu")
    height, width = SIZE
    padded = np.pad(image.numpy(), ((0, 0), (0, -height % 32), (0, -width % 32)))[None]
    if not exact:
        return lambda: len(detect(padded)[0])

    def run() -> int:
        with torch.inference_mode():
            return len(method.detect(network, torch.from_numpy(padded))[0])

    return run


def training_dense() -> Callable[[], int]:
    """Return a training step of the small Cascade on a doubled image of 782 cells."""
    import torch

    from bigkingxxl.methods.base import Batch, Crop
    from bigkingxxl.methods.registry import make_method

    torch.manual_seed(0)
    method = make_method("cascade_rcnn", {"backbone": "tf_efficientnet_lite0"}, TYPES)
    network = method.build().to(memory_format=torch.channels_last)
    planes, types = dense_planes(DENSE, 2)
    image = np.random.default_rng(0).random((1, *planes.shape[1:]), np.float32)
    target = method.targets(Crop(image, planes, types))
    images = torch.from_numpy(image[None]).contiguous(memory_format=torch.channels_last)

    def run() -> int:
        with torch.autocast("cpu", torch.bfloat16):
            loss = method.loss(network, Batch(images, method.collate([target])))["loss"]
        torch.autograd.backward(loss)
        return len(target["boxes"])

    return run


def predicting_dense() -> Callable[[], int]:
    """Return a prediction of an image at twice the resolution with 800 detections."""
    import torch

    from bigkingxxl.inference.load_model import TorchDetections
    from bigkingxxl.methods.registry import make_method

    torch.manual_seed(0)
    method = make_method(
        "mask_rcnn", {"score_floor": 0.0, "box_nms": 1.0, "detections": 800}, TYPES
    )
    detect = TorchDetections(method, method.build().eval(), "cpu")
    image = np.random.default_rng(0).random((1, 1, SIZE[0] * 2 // 32 * 32, SIZE[1] * 2), np.float32)
    return lambda: len(detect(image)[0])


def dense_planes(count: int, enlarged: int) -> tuple[Any, Any]:
    """Return label planes int32[1, H, W] of small cells in rows and columns, and their types."""
    planes = np.zeros((1, SIZE[0] * enlarged // 32 * 32, SIZE[1] * enlarged), np.int32)
    columns = round((count * SIZE[1] / SIZE[0]) ** 0.5)
    step = planes.shape[2] // columns
    for cell in range(count):
        row, col = (step * k for k in divmod(cell, columns))
        planes[0, row : row + step - 6, col : col + step - 3] = cell + 1
    return planes, np.full(count, 2, np.int16)


CASES: dict[str, Callable[[], Callable[[], int]]] = {
    "train": training_dense,
    "predict": predicting_dense,
}


def child(case: str, threads: int) -> None:
    """Run one case and print its cost."""
    import torch

    torch.set_num_threads(threads)
    side, _, detections = case.partition(":")
    if side == "masks":
        print(json.dumps(masks_to_runs(int(detections))))
        return
    run = predicting(side, int(detections)) if side in SIDES else CASES[side]()
    before, seconds = peak_gib(), []
    for _ in range(RUNS if side in SIDES else 1):
        began = time.process_time()
        count = run()
        seconds.append(time.process_time() - began)
    peak = peak_gib()
    found = {"count": count, "cpu_seconds": min(seconds), "grown_gib": peak - before}
    print(json.dumps({**found, "first_cpu_seconds": seconds[0], "peak_gib": peak}))


def peak_gib() -> float:
    """Return the peak memory of this process, which starts at that of its parent."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def measured(case: str, threads: int) -> dict[str, Any]:
    """Run a case in a child process and return what it prints."""
    command = [sys.executable, "-m", "benchmarks.speed.detector_speed", "--child", case,
               "--threads", str(threads)]  # fmt: skip
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def compared(detections: int, threads: int) -> dict[str, Any]:
    """Compare both sides at a number of detections, twice alternately."""
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(2):
        for side in SIDES:
            runs[side].append(measured(f"{side}:{detections}", threads))
    best = {side: min(each, key=lambda run: run["cpu_seconds"]) for side, each in runs.items()}
    ours, theirs, exact = (best[side] for side in SIDES)
    return {
        **best,
        "times_faster": theirs["cpu_seconds"] / ours["cpu_seconds"],
        "times_faster_in_float32": theirs["cpu_seconds"] / exact["cpu_seconds"],
        "times_less_memory": theirs["grown_gib"] / ours["grown_gib"],
        "times_less_memory_whole_process": theirs["peak_gib"] / ours["peak_gib"],
    }


def masks_to_runs(count: int) -> dict[str, float]:
    """Measure the conversion of region masks to runs, ours and through full-size masks."""
    import torch
    from pycocotools import mask as coco
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    from bigkingxxl.detection.masks import mask_candidates
    from bigkingxxl.inference.selection import masks_above

    rng = np.random.default_rng(0)
    low = rng.uniform(0, (SIZE[1] - 40, SIZE[0] - 40), (count, 2))
    boxes = np.hstack((low, low + rng.uniform(12, 36, (count, 2)))).astype(np.float32)
    soft = rng.random((count, 28, 28), np.float32)
    ones = np.ones((count, 1), np.float32)

    def ours() -> None:
        found = mask_candidates(SIZE, boxes, soft, ones[:, 0], ones, ("cell",))
        masks_above(found, np.full(count, 0.5))

    def theirs() -> None:
        masks = torch.from_numpy(soft)[:, None]
        pasted = paste_masks_in_image(masks, torch.from_numpy(boxes), SIZE)
        frames = (pasted[:, 0] > 0.5).numpy().astype(np.uint8)
        for frame in frames:
            coco.encode(np.asfortranarray(frame))

    ours_best, theirs_best = timed(ours, 5)[1].cpu, timed(theirs, 3)[1].cpu
    return {"ours": ours_best, "torchvision": theirs_best, "times_faster": theirs_best / ours_best}


def main() -> int:
    """Measure, compare with the goals, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--detections", type=int, nargs=2, default=(100, 800))
    parser.add_argument("--out", type=Path, default=RESULTS / "detector_speed.json")
    options = parser.parse_args()
    if options.child:
        child(options.child, options.threads)
        return 0
    few, many = (compared(count, options.threads) for count in options.detections)
    # In a separate process, because a child's peak would start at the memory of these masks.
    runs = measured(f"masks:{options.detections[1]}", options.threads)
    dense = {case: measured(case, options.threads) for case in CASES}
    values = {
        f"{options.detections[0]} detections": few,
        f"{options.detections[1]} detections": many,
        "masks to runs": runs,
        "dense": dense,
        "threads": options.threads,
    }
    goals = [
        Goal("times faster, few detections", few["times_faster"], 1.0),
        Goal("times faster, many detections", many["times_faster"], 3.0),
        Goal("times less memory, many detections", many["times_less_memory"], 3.0),
        Goal("masks to runs, times faster", runs["times_faster"], 20.0),
        Goal("GiB, training on 782 cells at 2x", dense["train"]["peak_gib"], 4.0, at_most=True),
        Goal("GiB, predicting 800 at 2x", dense["predict"]["peak_gib"], 3.0, at_most=True),
    ]
    return keep(options.out, goals, values, seed=0)


if __name__ == "__main__":
    sys.exit(main())
