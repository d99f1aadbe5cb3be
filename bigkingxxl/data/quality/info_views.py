"""The description of a data set for readers: a page of text and a page of plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigkingxxl.data.quality.info import SUSPICIONS
from bigkingxxl.display_text import counted
from bigkingxxl.errors import OutputError
from bigkingxxl.files import whole_file

if TYPE_CHECKING:
    from bigkingxxl.data.quality.info import DataInfo

SHOWN = 3  # examples per kind
PICTURES = (".png", ".svg", ".pdf", ".jpg")


def as_text(info: DataInfo) -> str:
    """Format the description in about forty lines."""
    return "\n".join([*_overview(info), "", *_types(info), "", *_doubts(info)])


def _overview(info: DataInfo) -> Iterator[str]:
    sizes = ", ".join(f"{size} ({count})" for size, count in info.image_sizes.items())
    twins = info.duplicates
    yield f"{info.root} ({info.layout} layout)"
    yield f"  images       {info.images}, and {info.unlabelled} without annotation"
    yield f"  width x height  {sizes}"
    yield f"  cells        {info.cells}; {info.images_without_cells} images have none"
    yield (
        f"  overlaps     {info.overlaps['cells']} cells share pixels with others, "
        f"{100 * info.overlaps['pixel_share']:.2f} % of the covered pixels"
    )
    yield f"  holes        {counted(info.holes, 'cell')}"
    yield f"  fragments    {counted(info.fragments, 'cell')} of several parts"
    yield (
        f"  duplicates   {twins['cells_identical']} cells equal another of their image, "
        f"{twins['cells_near']} nearly; {len(twins['images_identical'])} groups of equal images, "
        f"{len(twins['images_alike'])} pairs that look alike, "
        f"{len(twins['annotations_identical'])} groups with equal annotations"
    )
    if info.columns:
        yield f"  also known   {', '.join(info.columns)}"
    for what, names in (("blank", info.blank_images), ("unreadable", info.unreadable),
                        ("left out", info.skipped), ("partly", _partly(info)),
                        ("note", info.notes)):  # fmt: skip
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            yield f"  {what:<12} {len(names)}: {'; '.join(names[:SHOWN])}{more}"


def _partly(info: DataInfo) -> list[str]:
    return [f"{name} ({100 * share:.0f} % of its pixels are not annotated)"
            for name, share in info.partly_annotated.items()]  # fmt: skip


def _types(info: DataInfo) -> list[str]:
    rows = [
        ["type", "images", "cells", "cells per image", "area: min", "5 %", "50 %", "95 %", "max"]
    ]
    for name, kind in info.types.items():
        if not kind.cells:
            rows.append([name, "0", "0", *["-"] * 6])
            continue
        spread = " / ".join(f"{value:.0f}" for value in kind.cells_per_image.values())
        areas = [f"{kind.area[key]:.0f}" for key in ("min", "p5", "p50", "p95", "max")]
        rows.append([name, str(kind.images), str(kind.cells), spread, *areas])
    return [*aligned(rows), "cells per image: min / median / max; areas in pixels"]


def _doubts(info: DataInfo) -> list[str]:
    rows = [["doubtful cells", "", "", "for example (image cell)"]]
    for kind, count in info.suspicious.items():
        some = [cell for cell in info.cells_to_check if cell["kind"] == kind][:SHOWN]
        examples = ", ".join(f"{cell['image']} {cell['cell']}" for cell in some)
        rows.append([f"  {kind}", str(count), SUSPICIONS[kind], examples])
    return aligned(rows, text_columns=(0, 2, 3))


def aligned(rows: Sequence[Sequence[str]], text_columns: Sequence[int] = (0,)) -> list[str]:
    """Align columns, numbers to the right and text to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in text_columns else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def plot(info: DataInfo, path: Path) -> None:
    """Plot areas, cells per image and thickness by cell type (PNG, SVG or PDF by the ending).

    Raises:
        OutputError: The file cannot be written, or its ending is not one of these.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path.suffix.lower() not in PICTURES:
        raise OutputError(
            f"{path} is not the name of a picture, expected {', '.join(PICTURES)}",
            file=path,
            expected=tuple(PICTURES),
        )
    cells, names = info.table.cells, list(info.types)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    for column, axis in (("area", axes[0]), ("thickness", axes[1])):
        values = np.maximum(cells[column], 1) if len(cells[column]) else np.ones(1)
        bins = np.geomspace(values.min(), max(values.max(), values.min() * 1.01), 40)
        for index, name in enumerate(names):
            axis.hist(cells[column][cells["cell_type"] == index], bins, histtype="step", label=name)
        axis.set(xscale="log", xlabel=f"{column} [pixels]", ylabel="cells")
    axes[2].hist(np.bincount(cells["image"], minlength=info.images), 40, color="0.5")
    axes[2].set(xlabel="cells per image", ylabel="images")
    axes[0].legend(frameon=False)
    figure.suptitle(f"{info.images} images, {info.cells} cells")
    with whole_file(path) as temporary, rc_context({"svg.hashsalt": "bigkingxxl"}):
        figure.savefig(temporary, dpi=120, metadata=_without_date(path))


def _without_date(path: Path) -> dict[str, None]:
    """Return metadata without a date, so that the same plot has the same bytes."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
