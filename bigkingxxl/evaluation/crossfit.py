"""Cross-fitting: settings tuned on a part of the images are scored on the others only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from bigkingxxl.errors import InputError

T = TypeVar("T")
R = TypeVar("R")
Ids = tuple[str, ...]


def halves(
    ids: Sequence[str],
    types: Mapping[str, str | None],
    groups: Mapping[str, str],
    *,
    seed: int = 0,
) -> tuple[Ids, Ids]:
    """Two halves with as equal a share of every cell type as whole groups allow.

    Args:
        ids: the images, each once; their order does not change who goes where.
        types: the cell type of each image, None or left out where it has none.
        groups: the group of each image (the same field, well or sample); left out: its own.

    Returns:
        The ids of either half, each in the order of `ids`.
    Raises:
        InputError: fewer than two groups.
    """
    members: dict[str, list[str]] = {}
    for image_id in sorted(ids):
        members.setdefault(groups.get(image_id, f"alone {image_id}"), []).append(image_id)
    if len(members) < 2:
        raise InputError(
            f"{len(ids)} images in {len(members)} group cannot be cross-fitted, expected 2 or more",
            found=len(members),
            expected=2,
        )
    names = sorted(members)
    shuffled = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    in_first: set[str] = set()
    images, of_type = [0, 0], Counter[tuple[str | None, int]]()
    # The large groups first: the small ones can then even things out.
    for name in sorted(shuffled, key=lambda name: -len(members[name])):
        kind = types.get(members[name][0])
        half = min((0, 1), key=lambda half: (of_type[kind, half], images[half]))
        images[half] += len(members[name])
        of_type[kind, half] += len(members[name])
        if half == 0:
            in_first.update(members[name])
    return (
        tuple(image_id for image_id in ids if image_id in in_first),
        tuple(image_id for image_id in ids if image_id not in in_first),
    )


def crossfit(
    ids: Sequence[str],
    types: Mapping[str, str | None],
    groups: Mapping[str, str],
    tune: Callable[[Ids], T],
    score: Callable[[T, Ids], Mapping[str, R]],
    *,
    seed: int = 0,
    parts: Sequence[Ids] = (),
) -> dict[str, R]:
    """Honest per-image results: tuned on half A and scored on half B, and the reverse.

    Args:
        ids, types, groups, seed: as in `halves`.
        tune: from the ids of one half to whatever is tuned.
        score: from that and the ids of the other half to a result for each of them, a
            score or the cells to be scored.
        parts: in the place of halves: of all ids, each is scored by what was tuned on the others,
            such as the folds of a cross-validation.

    Returns:
        The result of every image, in the order of `ids`.
    Raises:
        InputError: fewer than two groups.
        ValueError: `score` answered for other images than it was asked for.
    """
    found: dict[str, R] = {}
    for held_out in parts or reversed(halves(ids, types, groups, seed=seed)):
        away = set(held_out)
        tuned_on = tuple(image_id for image_id in ids if image_id not in away)
        scores = score(tune(tuned_on), held_out)
        if set(scores) != set(held_out):
            raise ValueError(f"scores of {len(held_out)} images were expected, got {len(scores)}")
        found.update(scores)
    return {image_id: found[image_id] for image_id in ids}
