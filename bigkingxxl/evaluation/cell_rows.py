"""Tables of cells and of matches, from which other scores can be computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.evaluation.error_kinds import kinds_of
from bigkingxxl.evaluation.metrics.boundary import distances_of
from bigkingxxl.evaluation.metrics.recall_density import neighbours
from bigkingxxl.evaluation.pair_batch import PairBatch
from bigkingxxl.evaluation.pairing import ImagePair, centres
from bigkingxxl.instances import Instances
from bigkingxxl.io.tables.csv_table import write_table

MATCH_COLUMNS = (
    "image", "truth_cell", "predicted_cell", "truth_area", "predicted_area", "intersection", "iou",
    "match_at_0.5", "truth_type", "predicted_type", "score",
)  # fmt: skip
CELL_COLUMNS = (
    "image", "set", "cell", "type", "area", "centre_row", "centre_col", "score", "kind",
    "match_at_0.5", "best_iou", "boundary_mean", "boundary_p95", "neighbours",
)  # fmt: skip
Row = tuple[object, ...]


def write_matches(path: Path, pairs: Iterable[ImagePair]) -> None:
    """Write all pairs of cells that share pixels, and all cells without a pair.

    Cells are numbered from 1 in the order of the annotations and of the predictions; an empty
    number stands for no partner.

    Raises:
        OutputError: The file cannot be written.
    """
    write_table(path, MATCH_COLUMNS, (row for pair in pairs for row in match_rows(pair)))


def match_rows(pair: ImagePair) -> Iterator[Row]:
    """Yield the rows of one image; see `write_matches`."""
    first, second, shared = pair.overlaps
    hit = np.zeros(len(first), int)
    hit[pair.hits().pair] = 1
    types, found_types = _types(pair.truth), _types(pair.predicted)
    scores = _scores(pair.predicted)
    for place, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        yield (
            pair.image_id, a + 1, b + 1, int(pair.truth_areas[a]), int(pair.predicted_areas[b]),
            int(shared[place]), f"{pair.iou[place]:.6f}", int(hit[place]), types[a],
            found_types[b], scores[b],
        )  # fmt: skip
    for a in _without(len(types), first).tolist():
        yield (pair.image_id, a + 1, "", int(pair.truth_areas[a]), "", 0, "0.000000", 0, types[a],
               "", "")  # fmt: skip
    for b in _without(len(found_types), second).tolist():
        yield (pair.image_id, "", b + 1, "", int(pair.predicted_areas[b]), 0, "0.000000", 0, "",
               found_types[b], scores[b])  # fmt: skip


def write_cells(path: Path, pairs: Iterable[ImagePair]) -> None:
    """Write one row per annotated and predicted cell, with its properties and how it was matched.

    Raises:
        OutputError: The file cannot be written.
    """
    write_table(path, CELL_COLUMNS, (row for pair in pairs for row in cell_rows(pair)))


def cell_rows(pair: ImagePair) -> Iterator[Row]:
    """Yield the rows of one image; see `write_cells`."""
    alone = PairBatch((pair,))
    kinds, hits, distances = kinds_of(pair), pair.hits(), distances_of(alone)
    near = [str(count) for count in neighbours(alone).tolist()]
    sides = (
        ("truth", pair.truth, pair.truth_areas, kinds.truth, hits.truth, hits.predicted,
         pair.overlaps.first, near),
        ("predicted", pair.predicted, pair.predicted_areas, kinds.predicted, hits.predicted,
         hits.truth, pair.overlaps.second, [""] * len(pair.predicted_areas)),
    )  # fmt: skip
    for name, cells, areas, kind, own, partner, of_pairs, crowd in sides:
        match = dict(zip(own.tolist(), partner.tolist(), strict=True))
        outline = dict(zip(own.tolist(), zip(distances.mean, distances.high, strict=True),
                           strict=True))  # fmt: skip
        best = np.zeros(len(areas))
        np.maximum.at(best, of_pairs, pair.iou)
        centre, types, scores = centres(cells, areas), _types(cells), _scores(cells)
        for cell in range(len(areas)):
            mean, high = outline.get(cell, ("", ""))
            yield (
                pair.image_id, name, cell + 1, types[cell], int(areas[cell]),
                f"{centre[cell, 0]:.2f}", f"{centre[cell, 1]:.2f}", scores[cell], str(kind[cell]),
                match[cell] + 1 if cell in match else "", f"{best[cell]:.6f}", _digits(mean),
                _digits(high), crowd[cell],
            )  # fmt: skip


def _digits(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"


def _without(count: int, used: NDArray[np.int64]) -> NDArray[np.int64]:
    free = np.ones(count, bool)
    free[used] = False
    return np.flatnonzero(free)


def _types(cells: Instances) -> list[str]:
    return [cells.type_names[kind] for kind in cells.cell_type.tolist()]


def _scores(cells: Instances) -> list[str]:
    if cells.score is None:
        return [""] * len(cells)
    return [f"{score:.6g}" for score in cells.score.tolist()]
