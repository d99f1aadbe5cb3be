"""Network pixels of all blocks of an image, relative to those of the image, by counting tiles.

    python -m benchmarks run tile_counts [--side 50000] [--scales 0.5,1,1.5,2,3] [--out FILE.json]

Tiles at the seams belong to two or four blocks. `nothing_kept` counts them for every block, as when
another process predicts each block. `one_process` counts as one process does, which goes through
the blocks in strips and keeps the maps of such tiles until the neighbours have used them.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from benchmarks.harness import record
from bigkingxxl.geometry import Window, scaled_size, whole
from bigkingxxl.images import Part
from bigkingxxl.inference.seam_maps import MOST_BYTES
from bigkingxxl.inference.tile_grid import TileGrid, TileSize
from bigkingxxl.runs.large.grid import Grid
from bigkingxxl.runs.large.plan import MARGIN, STEP

TILE = TileSize(1088, 64, 32)  # of the model `bundled`, which predicts at 1.5 times the size
USUAL_SCALE, MAPS = 1.5, 9


def counted(side: int, scale: float, margin: int = MARGIN) -> dict[str, Any]:
    """Return the ratios at a scale, in network pixels per image pixel.

    Args:
        side: Side of the image, in pixels.
        scale: Network pixels per pixel of training.
        margin: Around a core, in pixels of training.
    """
    grid = Grid.of((side, side))
    around = math.ceil(margin / (scale / USUAL_SCALE) / STEP) * STEP
    network = scaled_size(grid.shape, scale)
    part = Part(whole((1, 1)), grid.shape, (grid.core, grid.core), around)
    tiles = TileGrid.of(network, TILE, part, round(around * network[0] / side))
    image = sum(_pixels(tile.window) for each in tiles.touching(whole(network)) for tile in each)
    every = walked = held = 0
    left: dict[Window, int] = {}
    for block in grid.walk():
        seen = grid.around(block, around)
        place = Window(*(round(edge * network[0] / side) for edge in seen))
        for tile in (tile for each in tiles.touching(place) for tile in each):
            pixels = _pixels(tile.window)
            every += pixels
            if tile.window in left:
                left[tile.window] -= 1
                if left[tile.window] == 0:
                    held -= pixels
                    del left[tile.window]
                continue
            walked += pixels
            if tile.blocks > 1:
                left[tile.window], held = tile.blocks - 1, held + pixels
        while held * MAPS * 4 > MOST_BYTES:  # drop the oldest
            held -= _pixels(oldest := next(iter(left)))
            del left[oldest]
    return {
        "scale": scale, "margin": margin, "pixels_around": around,
        "nothing_kept": round(every / image, 3), "one_process": round(walked / image, 3),
    }  # fmt: skip


def _pixels(window: Window) -> int:
    return window.size[0] * window.size[1]


def main() -> None:
    """Count, print, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=50000)
    parser.add_argument("--scales", default="0.5,1,1.5,2,3")
    parser.add_argument("--margin", type=int, default=MARGIN)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    scales = [float(each) for each in options.scales.split(",")]
    found = [counted(options.side, scale, options.margin) for scale in scales]
    for each in found:
        print(json.dumps(each), flush=True)
    if options.out is not None:
        record(options.out, {"side": options.side, "scales": found})


if __name__ == "__main__":
    main()
