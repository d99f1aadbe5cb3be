"""Some of many images, with their kinds as evenly represented as the data allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset


def spread(ids: Sequence[str], data: Dataset, count: int) -> tuple[str, ...]:
    """Up to `count` ids, with the cell types as evenly represented as the data allows."""
    return spread_by({image_id: data.cell_type(image_id) for image_id in ids}, count)


def spread_by(kinds: Mapping[str, str | None], count: int) -> tuple[str, ...]:
    """Up to `count` of the keys, with the values as evenly represented as they allow."""
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
    """What images are told apart by: the data set, where there are several, and the cell type."""
    name = data.set_of(image_id) if isinstance(data, JoinedDataset) else ""
    return "_".join(filter(None, (name, data.cell_type(image_id))))
