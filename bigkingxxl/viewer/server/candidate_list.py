"""Choose the candidates that a window offers: those that no cell covers, each place once.

What belongs here: choosing and describing candidates. What does not: predicting them
(`low_score_candidates`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.instances import Instances
from bigkingxxl.viewer import contract as wire

CANDIDATES_SHOWN = 3000  # more would be too small to click on
SMALLEST_CANDIDATE = 4  # pixels
COVERED = 0.5  # the fraction of a candidate's pixels; a candidate covered more is taken for a cell

Places = NDArray[np.int64]


def best_masks(found: Candidates) -> tuple[Instances, Places]:
    """Return the masks of the candidates with the highest scores.

    Args:
        found: N candidates of an image.

    Returns:
        M masks where the probability is at least one half, best first, and their indices among the
        candidates, int64[M]; M is at most four times the number that is shown.
    """
    from bigkingxxl.inference.selection import masks_above

    order = np.argsort(-found.score, kind="stable")[: 4 * CANDIDATES_SHOWN]
    chosen = found.take(order)
    return masks_above(chosen, np.full(len(chosen), 0.5)), order


def uncovered(masks: Instances, labels: NDArray[Any]) -> Places:
    """Find the masks that cells cover by less than half, and that are not tiny.

    Args:
        masks: M masks, which may overlap.
        labels: Integers [H, W], the current cells; 0 is background.

    Returns:
        The indices of the masks, int64[K], ascending.
    """
    owner, flat = masks.pixels()
    areas = masks.areas()
    covered = np.bincount(owner[labels.reshape(-1)[flat] > 0], minlength=len(masks))
    return np.flatnonzero((areas >= SMALLEST_CANDIDATE) & (covered < COVERED * areas))


def listed(found: Candidates, masks: Instances, order: Places) -> tuple[wire.Candidate, ...]:
    """Describe masks that do not cover each other, as windows need them.

    Args:
        found: The N candidates of the image.
        masks: M of their masks, best first.
        order: int64[M], the index of each mask among the candidates.

    Returns:
        At most `CANDIDATES_SHOWN` candidates: the index, the score, the type, the box (row0, col0,
        row1, col1; half-open) and the runs as pairs of the first flat pixel and the length.
    """
    from bigkingxxl.inference.selection import mask_nms

    kept = mask_nms(masks, np.full(len(masks), 0.5))[:CANDIDATES_SHOWN]
    masks, order = masks.take(kept), order[kept]
    width = masks.size[1]
    runs = masks.runs.astype(np.int64)
    pairs = np.stack((runs[:, 0] * width + runs[:, 1], runs[:, 2] - runs[:, 1]), axis=1)
    boxes = masks.boxes().tolist()
    return tuple(
        wire.Candidate(
            index=index, score=min(max(float(found.score[index]), 0.0), 1.0),
            type=_type_of(found, index), box=tuple(boxes[place]),
            runs=tuple(pairs[slice(*masks.splits[place : place + 2].tolist())].ravel().tolist()),
        )
        for place, index in enumerate(order.tolist())
    )  # fmt: skip


def _type_of(found: Candidates, index: int) -> str:
    shares = found.type_probability
    if shares is None or not found.type_names:
        return ""
    return found.type_names[int(shares[index].argmax())]
