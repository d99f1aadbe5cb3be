"""Images that a data set contains more than once, and what that means for a training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.repeated import repeated_images
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError
from bigkingxxl.instances import NO_TYPE, UNTYPED
from bigkingxxl.training.dataset_checks import some_of

log = logging.getLogger(__name__)


def check_repeated(
    data: Dataset, ids: Sequence[str], kept_back: Sequence[str] = (), apart: Sequence[str] = ()
) -> None:
    """Warn of images that occur more than once, also of images that are both trained on and scored.

    Args:
        data: The data set.
        ids: The training images.
        kept_back: The images for scores only.
        apart: Names of types that contradict no other, because they say nothing.

    Raises:
        InputError: An image occurs with contradictory cell types.
    """
    groups = agreeing_repeats(data, tuple(dict.fromkeys((*ids, *kept_back))), apart)
    learnt = set(ids)
    twice = [group for group in groups if len(learnt & set(group)) > 1]
    scored = [group for group in groups if learnt & set(group) and not learnt.issuperset(group)]
    for found, what in (
        (twice, "is trained on more than once"),
        (scored, "is trained on and also kept back, so that its score is too high"),
    ):
        if found:
            more = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
            log.warning("the same image %s: %s%s", what, some_of(found[0]), more)


def agreeing_repeats(
    data: Dataset, ids: Sequence[str], apart: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return the groups of ids that are the same image; see `check_repeated`.

    Raises:
        InputError: The annotations of one have contradictory cell types.
    """
    groups = repeated_images(data, ids)
    for group in groups:
        known = [(each, found) for each in group
                 if (found := _types(data, each) - {UNTYPED, *apart})]  # fmt: skip
        for (one, own), (two, others) in pairwise(known):
            if own != others:
                raise InputError(
                    f"{data.image_path(one)} and {data.image_path(two)} are the same image, but "
                    f"with the cell types {_names(own)} and {_names(others)}: correct one of the "
                    "two, or leave it out",
                    file=data.image_path(two),
                    key="cell_type",
                    found=tuple(sorted(others)),
                    expected=tuple(sorted(own)),
                )
    return groups


def without_repeats(data: Dataset) -> tuple[Dataset, str | None]:
    """Keep the first of several images with the same content; return a note on the others.

    Raises:
        InputError: See `agreeing_repeats`.
    """
    groups = agreeing_repeats(data, data.ids, (NO_TYPE,))
    if not groups:
        return data, None
    later = {image_id for group in groups for image_id in group[1:]}
    what = counted(len(later), "image", "occurs", "occur")
    note = f"{what} more than once, and one copy of each is used: {some_of(groups[0])}"
    return replace(data, ids=tuple(each for each in data.ids if each not in later)), note


def _types(data: Dataset, image_id: str) -> frozenset[str]:
    cells = data.instances(image_id)
    return frozenset(cells.type_names[kind] for kind in np.unique(cells.cell_type))


def _names(names: frozenset[str]) -> str:
    return " and ".join(f"'{name}'" for name in sorted(names))
