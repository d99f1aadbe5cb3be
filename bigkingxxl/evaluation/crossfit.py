"""Cross-fitting: settings tuned on a part of the images are scored on the others."""

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
    """Split images into two halves with similar proportions of cell types; groups stay together.

    Args:
        ids: The unique ids; their order does not affect the split.
        types: The cell type of each image, None or missing if it has none.
        groups: The group of each image (the same field, well or sample); a missing image is its
            own.
        seed: The random seed.

    Returns:
        The ids of each half, in the order of `ids`.

    Raises:
        InputError: There are fewer than two groups.
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
    # Large groups first, so that small ones can balance them.
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
    """Compute honest results per image: tune on one half and score the other, and vice versa.

    Args:
        ids: See `halves`.
        types: See `halves`.
        groups: See `halves`.
        tune: Returns the tuned settings, given the ids of one half.
        score: Returns a result for each image of the other half, given the settings and its ids.
        seed: See `halves`.
        parts: Parts of all ids that replace the halves, such as the folds of a cross-validation;
            each is scored with settings tuned on the others.

    Returns:
        The result of every image, in the order of `ids`.

    Raises:
        InputError: There are fewer than two groups.
        ValueError: `score` returned results for other images.
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
