"""Which candidates of a model a window may offer: those that no cell covers, each place once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.instances import Instances
from bigkingxxl.viewer import contract as wire

CANDIDATES_SHOWN = 3000
SMALLEST_CANDIDATE = 4  # pixels
COVERED = 0.5  # the share of a candidate that a cell covers, above which it is that cell

Places = NDArray[np.int64]


def best_masks(found: Candidates) -> tuple[Instances, Places]:
    """The masks of the candidates with the highest scores, best first, and their places."""
    from bigkingxxl.inference.selection import masks_above

    order = np.argsort(-found.score, kind="stable")[: 4 * CANDIDATES_SHOWN]
    chosen = found.take(order)
    return masks_above(chosen, np.full(len(chosen), 0.5)), order


def uncovered(masks: Instances, labels: NDArray[Any]) -> Places:
    """Indices of masks that no cell of a label map covers by a half or more."""
    owner, flat = masks.pixels()
    areas = masks.areas()
    covered = np.bincount(owner[labels.reshape(-1)[flat] > 0], minlength=len(masks))
    return np.flatnonzero((areas >= SMALLEST_CANDIDATE) & (covered < COVERED * areas))


def listed(found: Candidates, masks: Instances, order: Places) -> tuple[wire.Candidate, ...]:
    """Masks that do not cover each other, as windows take them.

    Args:
        masks: best first; order: the place of each among the candidates.
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
