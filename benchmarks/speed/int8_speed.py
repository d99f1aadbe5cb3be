"""How much faster a network is in 8-bit integers than in floating point, and what it changes.

    python -m benchmarks run int8_speed [--model bundled] [--tries 5] [--out FILE]

The same weights are exported once more in floating point. Both graphs compute the maps of one
simulated image of 704 x 520 pixels at the scale of the model, by turns, on one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.harness import RESULTS, Goal, by_turns, keep
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.load_model import OnnxMaps, onnx_predictor
from bigkingxxl.model_files import model_hash, read_card, resolve_model
from bigkingxxl.onnx_models import open_onnx
from bigkingxxl.simulate.field import simulate_field
from bigkingxxl.training.export import export

SIZE, CELLS = (520, 704), 300
GOAL = 1.5


def main() -> int:
    """Measure, compare with the goal, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "int8_speed.json")
    options = parser.parse_args()
    model = resolve_model(options.model)
    image = ArrayImage(simulate_field("cort", size=SIZE, seed=0, cell_count=CELLS).image)
    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder) / "float.onnx", half=True)
        files = {"integers": model, "floating_point": Path(folder) / "float.onnx"}
        works = {}
        for name, path in files.items():
            predictor, _ = onnx_predictor(path)
            predictor.maps_function = OnnxMaps(open_onnx(path, threads=1)[1])
            works[name] = lambda predictor=predictor: predictor.maps(image, ratio=1.0)
        maps, times = by_turns(works, options.tries)
    ratio = times["floating_point"].cpu / times["integers"].cpu
    return keep(
        options.out,
        [Goal("network: times faster in integers", ratio, GOAL)],
        {
            "model": model_hash(model),
            "scale": read_card(model).prediction.scale,
            **{name: time.as_dict() for name, time in times.items()},
            "mean_difference_of_maps": float(
                np.abs(maps["integers"] - maps["floating_point"]).mean()
            ),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
