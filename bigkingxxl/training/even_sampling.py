"""Select some of many images with their kinds represented as evenly as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset


def evenly_by_type(ids: Sequence[str], data: Dataset, count: int) -> tuple[str, ...]:
    """Select up to `count` ids with the cell types as even as possible."""
    return evenly_by_kind({image_id: data.cell_type(image_id) for image_id in ids}, count)


def evenly_by_kind(kinds: Mapping[str, str | None], count: int) -> tuple[str, ...]:
    """Select up to `count` keys with the values as even as possible."""
    by_type: dict[str | None, list[str]] = {}
    for image_id, kind in kinds.items():
        by_type.setdefault(kind, []).append(image_id)
    chosen: list[str] = []
    queues = [list(group) for _, group in sorted(by_type.items(), key=lambda item: str(item[0]))]
    while queues and len(chosen) < count:
        chosen += [queue.pop(0) for queue in queues]
        queues = [queue for queue in queues if queue]
    return tuple(chosen[:count])


def label(data: Dataset, image_id: str) -> str:
    """Return the kind of an image: its data set, if there are several, and its cell type."""
    name = data.set_of(image_id) if isinstance(data, JoinedDataset) else ""
    return "_".join(filter(None, (name, data.cell_type(image_id))))
