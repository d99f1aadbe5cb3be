"""Estimated time for a plate and for a day of a slide scanner on 1, 10 and 100 nodes.

    python -m benchmarks run cluster_cost [--cores 32] [--cpu-per-megapixel SECONDS]

This reads benchmarks/results/scale_cluster.json and writes the table of docs/how-to/cluster.md. CPU
time is the number of pixels times the CPU seconds per megapixel, plus the time of the store per
image, plus the start of each process. The wall time is the CPU time divided by the cores, plus the
tables, which one process makes. Cores that wait for the disk or for each other are not counted.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, NamedTuple

from benchmarks.scale.cluster import FILE

NODES = (1, 10, 100)


class Load(NamedTuple):
    """Images to predict.

    Attributes:
        name: What they are.
        images: Number of images.
        megapixels: Size of each image.
        units: Pieces that different processes can do.
    """

    name: str
    images: int
    megapixels: float
    units: int

    @property
    def gigapixels(self) -> float:
        """The size of all images together."""
        return self.images * self.megapixels / 1000


PLATE = 384 * 9 * 100
LOADS = (
    Load("a plate of 384 wells x 9 fields x 100 times, 704 x 520 pixels each", PLATE,
         704 * 520 / 1e6, PLATE),
    Load("the same, 2,048 x 2,048 pixels each", PLATE, 2048**2 / 1e6, PLATE),
    Load("a slide scanner's day, 100 slides of 50,000 x 50,000 pixels", 100, 2500.0, 100 * 625),
)  # fmt: skip


def estimated(load: Load, per_megapixel: float, figures: dict[str, Any], cores: int) -> list[str]:
    """Return one row of the table."""
    whole = [each for each, parts in figures["store"].items() if "tables" in parts]
    store = figures["store"][max(whole, key=int)]
    per_image = store["first"]["cpu_ms_per_unit"] / 1000
    tables = load.images * store["tables"]["cpu_ms_per_unit"] / 1000
    start = figures["overhead"]["one_image"]["cpu_s"]
    cpu = load.gigapixels * 1000 * per_megapixel + load.images * per_image
    row = [load.name, f"{load.gigapixels:,.0f} gigapixels", f"{cpu / 3600:,.0f} h"]
    for nodes in NODES:
        processes = min(nodes * cores, load.units)
        row.append(span(cpu / processes + start + tables))
    return row


def span(seconds: float) -> str:
    """Format a duration in hours or minutes with two digits."""
    if seconds >= 3600:
        return f"{float(f'{seconds / 3600:.2g}'):g} h"
    return f"{float(f'{seconds / 60:.2g}'):g} min"


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", type=int, default=32, help="of a node")
    parser.add_argument("--cpu-per-megapixel", type=float)
    options = parser.parse_args()
    figures = json.loads(FILE.read_text())
    image = figures["image"]
    per_megapixel = options.cpu_per_megapixel or image["cpu_s"] / image["megapixels"]
    heads = ["", "pixels", "CPU time", *(f"{n} node{'s' * (n > 1)}" for n in NODES)]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for load in LOADS:
        print("| " + " | ".join(estimated(load, per_megapixel, figures, options.cores)) + " |")


if __name__ == "__main__":
    main()
