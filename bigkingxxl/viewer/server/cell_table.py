"""The cells of one image as a table: positions, attributes and measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import numbered
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.document import notes_of


def table_of(
    source: ImageSource, labels: NDArray[Any], attributes: Mapping[int, wire.Cell], revision: int,
    measurements: bool,
) -> wire.CellTable:  # fmt: skip
    """Create the table of an image; see `contract.CellTable`.

    Args:
        source: The image.
        labels: The numbers of cells [H, W].
        attributes: The attributes of each cell, by number.
        revision: The revision of both.
        measurements: Whether to measure the cells as well.
    """
    found = numbered(labels, notes_of(attributes), _names(attributes), source.pixel_size_um)
    numbers = found.numbers.tolist()
    return wire.CellTable(
        revision=revision, ids=tuple(numbers), cells=tuple(attributes[n] for n in numbers),
        boxes=tuple(found.instances.boxes().ravel().tolist()),
        areas=tuple(found.instances.areas().tolist()),
        measurements=_measured(source, found.instances) if measurements else (),
    )  # fmt: skip


def _names(attributes: Mapping[int, wire.Cell]) -> tuple[str, ...]:
    return tuple(sorted({cell.type for cell in attributes.values()})) or ("",)


def _measured(source: ImageSource, cells: Instances) -> tuple[wire.Measurement, ...]:
    from bigkingxxl.io.tables.measurements import measure

    table = measure(source, cells)
    return tuple(
        wire.Measurement(name=name, unit=_unit(name), values=tuple(
            None if value != value else float(value) for value in column.tolist()))
        for name, column in table.items()
        if name not in ("id", "type", "score") and not np.isnan(column.astype(float)).all()
    )  # fmt: skip


def _unit(name: str) -> str:
    if name.endswith("_um2"):
        return "µm²"
    if name.endswith("_um"):
        return "µm"
    if name == "area" or name == "perimeter" or name.startswith("centroid"):
        return "px²" if name == "area" else "px"
    return ""
