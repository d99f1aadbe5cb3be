"""One block of a large image: the candidates in it, and the cells selected from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError
from bigkingxxl.geometry import Window
from bigkingxxl.images import PartOfImage
from bigkingxxl.inference.predictor import Predictor, predict_in
from bigkingxxl.io.annotations.run_cells import load_cells_and, save_cells
from bigkingxxl.io.tables.shape_descriptors import centroids
from bigkingxxl.runs.large.damage import MendedImage
from bigkingxxl.runs.large.plan import Plan
from bigkingxxl.runs.large.seams import BlockCells
from bigkingxxl.runs.selection import Selection

EDGE = 2  # pixels by which a detector may miss the border that cuts a cell
WIDER = 4  # factor by which the margin grows if a cell is cut


def predict_block(
    predictor: Predictor, source: MendedImage, plan: Plan, block: int, margin: int
) -> tuple[Candidates, list[Window]]:
    """Predict the candidates of a block, in the frame of the block and its margin.

    Args:
        predictor: The model.
        source: The image.
        plan: How the image is processed.
        block: Number of the block.
        margin: Pixels around the core.

    Returns:
        The candidates, and the windows of the image that could not be read.
    """
    source.taken_missing()
    core = plan.grid.core
    window = plan.grid.around(block, margin)
    part = PartOfImage(source, window, ((core, core), plan.margin), plan.identity(source.name))
    return predict_in(predictor, part, plan.context), source.taken_missing()


def cells_of(
    candidates: Candidates, selection: Selection, plan: Plan, block: int, margin: int,
    pixel_size: tuple[float, float] | None,
) -> BlockCells:  # fmt: skip
    """Select the cells of a block and return them in the image's frame.

    They are selected as in a small image. A cell is kept if its centre lies in the core, or outside
    it by no more than the slack. Of the other cells that reach into the core, those are kept that
    the border of the predicted window cuts, and those that the block with their centre does not
    contain whole.
    """
    grid = plan.grid
    frame, core = grid.around(block, margin), grid.core_of(block)
    chosen = replace(selection, exclude_border=False)
    if selection.points.type_vote == "image" and candidates.type_probability is not None:
        chosen = replace(chosen, cell_type=selection.cell_type or plan.cell_type)
    cells = chosen.instances(candidates, pixel_size)
    cells = cells.shift(frame.row0, frame.col0, grid.shape)
    reaches = cells.crop(core).areas() > 0
    is_cut = _is_cut(cells.boxes(), frame, grid.shape) & reaches
    centres = centroids(cells)
    outside = _distance(centres, core)
    found = BlockCells(
        block, cells, outside <= 0, is_cut, selection.minimum_areas(cells, plan.scale_ratio),
        margin,
    )  # fmt: skip
    # A cell that is cut and does not reach into the core belongs to another block.
    away = _is_cut(cells.boxes(), frame, grid.shape) & ~is_cut
    near = (outside <= plan.slack) & ~away
    # The centre of a bent cell may lie in a block that the cell does not reach, so that this block
    # does not find it.
    orphaned = reaches & ~_is_whole_in_owner(cells.boxes(), centres, plan)
    return found.take(np.flatnonzero(near | is_cut | orphaned))


def _is_whole_in_owner(
    boxes: NDArray[np.int32], centres: NDArray[np.float64], plan: Plan
) -> NDArray[np.bool_]:
    """bool[N]: whether the block whose core holds a cell's centre contains all of the cell."""
    grid = plan.grid
    corner = np.rint(centres).astype(np.int64) // grid.core * grid.core
    low, high = corner - plan.margin, corner + grid.core + plan.margin
    inside = (boxes[:, :2] > low + EDGE) | (low <= 0)
    inside &= (boxes[:, 2:] < high - EDGE) | (high >= np.array(grid.shape))
    return np.asarray(inside.all(axis=1))


def _is_cut(boxes: NDArray[np.int32], frame: Window, size: tuple[int, int]) -> NDArray[np.bool_]:
    """bool[N]: whether a cell ends at a side of the predicted window inside the image."""
    low = [edge + EDGE if edge > 0 else -1 for edge in (frame.row0, frame.col0)]
    high = [
        edge - EDGE if edge < length else length + 1
        for edge, length in zip((frame.row1, frame.col1), size, strict=True)
    ]
    return np.asarray(((boxes[:, :2] <= low) | (boxes[:, 2:] >= high)).any(axis=1))


def _distance(points: NDArray[np.float64], core: Window) -> NDArray[np.float64]:
    """float64[N]: distance in pixels of points (row, column) outside a core; ≤ 0 inside it.

    A core begins half a pixel before the centre of its first pixel; its end belongs to the next
    core.
    """
    low = np.array([core.row0, core.col0]) - 0.5
    high = np.array([core.row1, core.col1]) - 0.5
    after = points - high
    after[after == 0] = np.finfo(np.float64).tiny
    result: NDArray[np.float64] = np.maximum(low - points, after).max(axis=1)
    return result


def found_in_block(
    predict: Callable[[int], tuple[Candidates, list[Window]]],
    select: Callable[[Candidates, int], BlockCells],
    plan: Plan,
    known: tuple[Candidates, list[Window], int] | None = None,
) -> tuple[BlockCells, list[Window]]:
    """Find the cells of a block, with a wider margin as long as one of them is cut.

    Args:
        predict: Predicts a block with a margin.
        select: Selects cells from the candidates of a block with a margin.
        plan: How the image is processed.
        known: Earlier candidates, the windows that could not be read, and their margin.

    Returns:
        The cells, and the windows of the image that could not be read.
    """
    margin = plan.margin if known is None else known[2]
    while True:
        candidates, missing = predict(margin) if known is None else known[:2]
        cells = select(candidates, margin)
        if not cells.is_cut.any() or margin >= plan.widest:
            return cells, missing
        margin, known = min(WIDER * margin, plan.widest), None


def save_block(path: Path, found: BlockCells, missing: list[Window]) -> None:
    """Write the cells of a block atomically; the same cells give the same bytes."""
    save_cells(path, found.cells, {
        "block": np.array([found.block, found.margin], np.int64), "is_owned": found.is_owned,
        "is_cut": found.is_cut, "minimum": found.minimum,
        "missing": np.array(missing, np.int64).reshape(-1, 4),
    })  # fmt: skip


def load_block(path: Path) -> tuple[BlockCells, list[Window]] | None:
    """Load what `save_block` wrote; None if it is missing or damaged."""
    try:
        cells, extra = load_cells_and(path)
        number, margin = extra["block"].tolist()
        missing = [Window(*row) for row in extra["missing"].tolist()]
        return BlockCells(
            number, cells, extra["is_owned"], extra["is_cut"], extra["minimum"], margin
        ), missing
    except (FormatError, LookupError, ValueError):
        return None
