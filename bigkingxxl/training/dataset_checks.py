"""Checks of a data set before training."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.data.label_policy import SPECK, flaws
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError

log = logging.getLogger(__name__)

NAMED = 3


def check_annotated(data: Dataset, ids: Sequence[str]) -> tuple[str, ...]:
    """Check that images have annotated cells, and warn of those that teach nothing.

    Args:
        data: The data set.
        ids: The training images.

    Returns:
        The images that are annotated somewhere.

    Raises:
        InputError: All cells lie where nothing is annotated, or there are none.
    """
    blank, with_cells = [], set[str]()
    for image_id in ids:
        ignored, cells = data.ignored(image_id), data.instances(image_id)
        if ignored is not None and ignored.all():
            blank.append(image_id)
        elif len(cells) and (ignored is None or (cells.label_map()[~ignored] > 0).any()):
            with_cells.add(image_id)
    if not with_cells:
        what = "are marked as not annotated everywhere" if len(blank) == len(ids) else (
            "have no annotated cells"
        )  # fmt: skip
        raise InputError(f"{_root(data, ids)}: the images to train on {what}", file=data.root)
    if blank:
        log.warning("%s marked as not annotated everywhere, so that nothing is learnt there: %s",
                    counted(len(blank), "image", "is", "are"), some_of(blank))  # fmt: skip
    if isinstance(data, JoinedDataset):
        for name in sorted({data.set_of(image_id) for image_id in ids}):
            own = [image_id for image_id in ids if data.set_of(image_id) == name]
            if not with_cells.intersection(own):
                log.warning("the data set '%s' has no annotated cells in its %s", name,
                            counted(len(own), "training image"))  # fmt: skip
    return tuple(image_id for image_id in ids if image_id not in blank)


def _root(data: Dataset, ids: Sequence[str]) -> str:
    """Name the data set of some images."""
    if not isinstance(data, JoinedDataset):
        return str(data.root)
    names = sorted({data.set_of(image_id) for image_id in ids})
    return f"{counted(len(names), 'data set')} ({some_of(names)})"


def some_of(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def warn_of_flaws(data: Dataset, ids: Sequence[str]) -> None:
    """Warn of images whose annotations the policy 'mended' must correct."""
    found = {image_id: flaws(data.instances(image_id)) for image_id in ids}
    _warn(data, {name: each.fragmented for name, each in found.items()},
          "several parts; training uses only the largest part")  # fmt: skip
    _warn(data, {name: each.specks for name, each in found.items()},
          f"fewer than {SPECK} pixels; training leaves such cells out")  # fmt: skip


def _warn(data: Dataset, counts: Mapping[str, int], what: str) -> None:
    odd = {image_id: count for image_id, count in counts.items() if count}
    for image_id, count in list(odd.items())[:NAMED]:
        path = os.path.normpath(data.image_path(image_id))  # no "corrections/../.."
        log.warning("%s: %s %s", path, counted(count, "cell", "has", "have"), what)
    if len(odd) > NAMED:
        more = counted(len(odd) - NAMED, "further image", "contains", "contain")
        log.warning("%s: %s cells that have %s", data.root, more, what)
