"""Checks of a data set before training."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.label_policy import SPECK, flaws
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError

log = logging.getLogger(__name__)

NAMED = 3


def common_channels(data: Dataset, ids: Sequence[str]) -> int:
    """Return the number of channels of the images.

    Raises:
        InputError: The images differ.
    """
    channels = {image_id: data.source(image_id).channels for image_id in ids}
    first = ids[0]
    for image_id, count in channels.items():
        if count != channels[first]:
            raise InputError(
                f"{data.image_path(image_id)} has {count} channels, but "
                f"{data.image_path(first)} has {channels[first]}: train on images of one kind",
                file=data.image_path(image_id),
                key="channels",
                found=count,
                expected=channels[first],
            )
    return channels[first]


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
