"""The time per image of the compact network compared with cellpose 3.1 at the same scale.

    python -m benchmarks run cellpose_speed [--threads 1] [--out FILE]

Both process the same simulated image of 704 x 520 pixels at the same enlargement, alternately in
one process, and the fastest run of each counts. Ours is what `predict` does with the bundled model,
without files. The library runs its own network (whose speed does not depend on its weights) with
`eval` and all defaults, and its post-processing on flows with as many cells as ours found, because
an untrained network finds none. Times are processor seconds; the goal is a factor of 10.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, Goal, keep, timed
from bigkingxxl.decoding.flow_targets import label_flows
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances
from bigkingxxl.model_files import resolve_model
from bigkingxxl.networks.cellpose import library_version
from bigkingxxl.simulate.field import simulate_field
from tests.decoding.flow_fields import cellpose_masks, network_like

SIZE, CELL_TYPE, CELLS = (520, 704), "shsy5y", 300
GOAL = 10.0


def main() -> int:
    """Measure, compare with the goal, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "cellpose_speed.json")
    options = parser.parse_args()
    import torch
    from cellpose.models import CellposeModel

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    image = simulate_field(CELL_TYPE, size=SIZE, seed=0, cell_count=CELLS).image
    predictor, card = load_predictor(resolve_model(options.model), "cpu")
    predictor.estimate = False  # the library does not estimate sizes either
    scale = card.prediction.scale
    theirs = CellposeModel(pretrained_model=False)

    def ours() -> Instances:
        return select(predictor.candidates(ArrayImage(image)), card.operating_points)

    def network() -> None:
        theirs.eval(image, channels=[0, 0], rescale=scale, compute_masks=False)

    found = ours()
    labels = found.label_map()
    flows, logits = network_like(label_flows(labels), labels > 0, seed=0, noise=0.1)

    def masks() -> Any:
        return cellpose_masks(flows, logits)

    masks()  # compiles its functions
    best: dict[str, list[float]] = {"ours": [], "network": [], "masks": []}
    for _ in range(options.repeats):
        for name, work in (("ours", ours), ("network", network), ("masks", masks)):
            best[name].append(timed(work)[1].cpu)
    seconds = {name: min(each) for name, each in best.items()}
    library = seconds["network"] + seconds["masks"]
    result = {
        "image": list(SIZE),
        "scale": scale,
        "model": options.model,
        "cellpose": library_version(),
        "threads": options.threads,
        "cells_found": len(found),
        "cells_of_the_librarys_masks": int(np.max(masks())),
        "cpu_seconds": seconds,
        "cellpose_cpu_seconds": library,
        "runs": best,
    }
    return keep(options.out, [Goal("times faster", library / seconds["ours"], GOAL)], result)


if __name__ == "__main__":
    sys.exit(main())
