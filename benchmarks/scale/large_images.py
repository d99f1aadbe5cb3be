"""Time, memory and seams of large images.

    python -m benchmarks run large_images [--megapixels 1,4,16,64,256] [--model bundled]
        [--scale S] [--seams SIDE] [--out FILE.json]

Each size is a mosaic of one simulated field. The command line predicts it in a process of its own,
whose wall time, CPU time and peak memory are recorded. With `--seams`, a mosaic of SIDE x SIDE
pixels is also predicted as a whole, and the cells that touch the lines between blocks are compared
with the others: how many have a cell of IoU above 0.9 in the unsplit result. `tiles_elsewhere`
compares them with an unsplit result of a network run on other tiles: it has no seam, and shows how
much depends on the tiles alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import record
from benchmarks.scale.mosaic import field, write_mosaic
from bigkingxxl.geometry import whole
from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import iou_pairs

FORMATS = "labels,measurements,qupath,summary"
NEAR = 24  # pixels from a line between blocks


def predicted(image: Path, out: Path, options: list[str]) -> dict[str, Any]:
    """Predict an image in a process of its own, and return the seconds and MB it took."""
    command = [sys.executable, "-m", "bigkingxxl", "predict", str(image), "--out", str(out),
               "--format", FORMATS, "--quiet", *options]  # fmt: skip
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(log.read().decode(errors="replace"))
    return {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
    }


def measured(megapixels: float, pixels: Any, options: list[str], folder: Path) -> dict[str, Any]:
    """Measure a mosaic of a given size."""
    side = round(1000 * megapixels**0.5)
    image, out = folder / f"{side}.tif", folder / f"{side}"
    write_mosaic(image, side, pixels)
    found = predicted(image, out, options)
    rows = (out / "summary.csv").read_text().splitlines()
    cells = int(rows[1].split(",")[1])
    image.unlink()
    return {
        "megapixels": side * side / 1e6, "cells": cells, **found,
        "cpu_seconds_per_megapixel": round(found["cpu_seconds"] / (side * side / 1e6), 3),
    }  # fmt: skip


def seams(side: int, pixels: Any, model: str, scale: float | None, folder: Path) -> dict[str, Any]:
    """Compare the cells at the lines between blocks, and all others, with the unsplit image."""
    from bigkingxxl.images import PartOfImage
    from bigkingxxl.inference.load_ensemble import load_ensemble
    from bigkingxxl.inference.network_predictor import NetworkPredictor
    from bigkingxxl.inference.predictor import image_context_of, predict_in
    from bigkingxxl.io.images import open_image
    from bigkingxxl.model_files import resolve_model
    from bigkingxxl.runs.folder import predict_folder, run_settings
    from bigkingxxl.runs.large import grid
    from bigkingxxl.runs.large.plan import Plan
    from bigkingxxl.runs.pipeline import Pipeline
    from bigkingxxl.runs.reader import open_run
    from bigkingxxl.runs.selection import Selection

    image, run = folder / "seams.tif", folder / "seams"
    write_mosaic(image, side, pixels)
    predictor, card = load_ensemble([resolve_model(model)], "cpu", scale=scale)
    selection = Selection(card.operating_points)
    grid.ABOVE = 0
    pipeline = Pipeline(run_settings("seams", selection, ["summary"]), selection, predictor)
    predict_folder(pipeline, [image], lambda path: [open_image(path)], run)
    split = open_run(run)["seams"].cells
    plan = Plan.load(run / "blocks" / "seams.blocks" / "plan.json")
    if isinstance(predictor, NetworkPredictor):
        predictor.block_pixels = 2**40
    source = open_image(image)
    context = image_context_of(predictor, source)
    found: dict[str, Any] = {"side": side, "core": grid.CORE}
    for name, blocks in (
        ("", ((grid.CORE, grid.CORE), 0 if plan is None else plan.margin)),
        ("tiles_elsewhere", None),
    ):
        part = PartOfImage(source, whole(source.shape), blocks)
        unsplit = selection.instances(predict_in(predictor, part, context), None)
        shares = compared(split, unsplit, grid.CORE)
        found |= {name: shares} if name else shares
    return found


def compared(split: Instances, unsplit: Instances, core: int) -> dict[str, Any]:
    """Return the shares of the unsplit cells that the split result has, at seams and elsewhere."""
    one, _, overlap = iou_pairs(unsplit, split)
    best = np.zeros(len(unsplit))
    np.maximum.at(best, one, overlap)
    boxes = unsplit.boxes()
    at_seam = np.zeros(len(unsplit), bool)
    for axis, length in enumerate(unsplit.size):
        for line in range(core, length, core):
            at_seam |= (boxes[:, axis] < line + NEAR) & (boxes[:, axis + 2] > line - NEAR)
    shares: dict[str, Any] = {"cells_unsplit": len(unsplit), "cells_split": len(split)}
    for name, some in (("seams", at_seam), ("elsewhere", ~at_seam)):
        shares[f"cells_{name}"] = int(some.sum())
        shares[f"share_above_0.9_{name}"] = round(float((best[some] > 0.9).mean()), 4)
        shares[f"share_above_0.5_{name}"] = round(float((best[some] > 0.5).mean()), 4)
    return shares


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", default="1,4,16,64,256")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--scale", type=float)
    parser.add_argument("--seams", type=int, default=0)
    parser.add_argument("--cell-type", default="cort")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pixels = field(options.cell_type)
    more = ["--model", options.model]
    more += [] if options.scale is None else ["--scale", str(options.scale)]
    result: dict[str, Any] = {"formats": FORMATS, "sizes": []}
    with tempfile.TemporaryDirectory() as folder:
        for text in filter(None, options.megapixels.split(",")):
            result["sizes"].append(measured(float(text), pixels, more, Path(folder)))
            print(json.dumps(result["sizes"][-1]), flush=True)
        if options.seams:
            result["seams"] = seams(
                options.seams, pixels, options.model, options.scale, Path(folder)
            )
            print(json.dumps(result["seams"]), flush=True)
    if options.out is not None:
        record(options.out, result)


if __name__ == "__main__":
    main()
