"""Time saved by keeping the maps of tiles at the seams for the neighbouring block.

    python -m benchmarks run seam_tiles [--side 6144] [--scales 0.5,1,1.5] [--model bundled]
        [--cell-type shsy5y] [--out FILE.json]

A simulated mosaic is predicted twice at each scale, with maps kept and with none kept, one block
after the other in one process; all results are compared byte by byte.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import record, timed
from benchmarks.scale.mosaic import field, write_mosaic
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.load_ensemble import load_ensemble
from bigkingxxl.io.images import open_image
from bigkingxxl.model_files import resolve_model
from bigkingxxl.runs.folder import predict_folder, run_settings
from bigkingxxl.runs.pipeline import Pipeline
from bigkingxxl.runs.selection import Selection


def blocks_of(folder: Path) -> dict[str, bytes]:
    """Return the candidates and cells of all blocks, and the files made of them."""
    places = [*folder.glob("blocks/*/candidates/*"), *folder.glob("blocks/*/*/*/*.npz"),
              *folder.glob("labels/*"), *folder.glob("measurements/*.csv")]  # fmt: skip
    return {str(place.relative_to(folder)): place.read_bytes() for place in places}


def measured(image: Path, model: str, scale: float, folder: Path) -> dict[str, Any]:
    """Measure the CPU seconds with and without kept maps, and compare the results' bytes."""
    predictor, card = load_ensemble([resolve_model(model)], "cpu", scale=scale)
    if not isinstance(predictor, DensePredictor):
        raise SystemExit("only dense methods blend maps")
    selection = Selection(card.operating_points)
    settings = run_settings("seam_tiles", selection, ["labels", "measurements"])
    pipeline = Pipeline(settings, selection, predictor)
    found: dict[str, Any] = {"scale": scale}
    results, most = {}, predictor.seam_maps.most_bytes
    for name, held in (("none_kept", 0), ("kept", most)):
        predictor.seam_maps.most_bytes = held
        out = folder / name
        _, time = timed(lambda: predict_folder(
            pipeline, [image], lambda path: [open_image(path)], out, ahead=1,  # noqa: B023
        ))  # fmt: skip
        found[name] = {**time.as_dict(), "load": round(os.getloadavg()[0], 1)}
        results[name] = blocks_of(out)
        found["blocks"] = len(list(out.glob("blocks/*/candidates/*.npz")))
        shutil.rmtree(out)
    found["same_bytes"] = results["none_kept"] == results["kept"]
    found["ratio"] = round(found["none_kept"]["cpu_s"] / found["kept"]["cpu_s"], 3)
    return found


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=6144)
    parser.add_argument("--scales", default="0.5,1,1.5")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--cell-type", default="shsy5y")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"side": options.side, "scales": []}
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "mosaic.tif"
        write_mosaic(image, options.side, field(options.cell_type))
        for scale in map(float, options.scales.split(",")):
            result["scales"].append(measured(image, options.model, scale, Path(folder)))
            print(json.dumps(result["scales"][-1]), flush=True)
    if options.out is not None:
        record(options.out, result)


if __name__ == "__main__":
    main()
