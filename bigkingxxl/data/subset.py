"""Subsets of a data set by cell type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from bigkingxxl.data.base import Dataset
from bigkingxxl.errors import InputError
from bigkingxxl.instances import Instances
from bigkingxxl.settings import nearest


def ids_of_types(data: Dataset, cell_types: Sequence[str]) -> tuple[str, ...]:
    """Return the images that mostly contain cells of these types, without empty images.

    Raises:
        InputError: A type is unknown, or there is no such image.
    """
    for name in cell_types:
        if name not in data.type_names:
            raise InputError(
                f"{data.root} has no cell type '{name}'{nearest(name, data.type_names)}",
                file=data.root,
                key="cell_types",
                found=name,
                expected=tuple(data.type_names),
            )
    ids = tuple(image_id for image_id in data.ids if data.cell_type(image_id) in cell_types)
    if not ids:
        raise InputError(
            f"{data.root} has no image of the cell type {' or '.join(cell_types)}",
            file=data.root,
            key="cell_types",
            found=tuple(cell_types),
        )
    return ids


def subset(data: Dataset, cell_types: Sequence[str]) -> Dataset:
    """Return the data set of these images (see `ids_of_types`) with only the cells of these types.

    Args:
        data: The data set.
        cell_types: The types of the new data set, in its order.

    Raises:
        InputError: See `ids_of_types`.
    """
    ids, names = ids_of_types(data, cell_types), tuple(cell_types)
    return replace(
        data,
        ids=ids,
        type_names=names,
        paths={image_id: data.paths[image_id] for image_id in ids},
        read_instances=partial(_cells_of_types, data.read_instances, data.type_names, names),
    )


def _cells_of_types(
    read: Callable[[str], Instances], before: Sequence[str], names: tuple[str, ...], image_id: str
) -> Instances:
    cells = read(image_id)
    places = np.array([names.index(name) if name in names else -1 for name in before], np.int16)
    kinds = places[cells.cell_type]
    kept = cells.take(kinds >= 0)
    return replace(kept, cell_type=kinds[kinds >= 0], type_names=names)
