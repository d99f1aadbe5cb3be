"""Pictures of cells: outlines over the image, coloured by cell type or cell by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.geometry import Window, resize
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.runs import whole_file

UInt8 = NDArray[np.uint8]
Size = tuple[int, int]
LONGEST_SIDE = 4096
ENLARGED_BELOW = 1200  # pixels: on smaller images outlines of one pixel would hide small cells
BAND_PIXELS = 16_000_000
DARKEST, BRIGHTEST = 0.5, 99.5  # percentiles shown as black and white
# Okabe and Ito's palette without black: told apart by colour-blind eyes and over gray.
TYPE_COLOURS = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0),
     (0, 114, 178)], np.uint8
)  # fmt: skip
GOLDEN = 0.618033988749895


def draw_overlay(
    source: ImageSource,
    instances: Instances,
    *,
    by: Literal["type", "cell"] | None = None,
    longest_side: int = LONGEST_SIDE,
) -> UInt8:
    """uint8[H, W, 3]: the image in gray with the cells' outlines; huge ones are shrunk.

    Args:
        by: what a colour stands for; by default the cell type where there are several.
        longest_side: an image with a longer one is shrunk to it.

    Raises:
        ValueError: image and cells are of different sizes.
    """
    _check_same_size(source, instances)
    size = _shown_size(source.shape, longest_side)
    return _paint(_gray(source, size), _shrunk(instances, size), by)


def write_overlay(
    path: Path,
    source: ImageSource,
    instances: Instances,
    *,
    by: Literal["type", "cell"] | None = None,
) -> None:
    """Write the overlay as PNG or JPEG (by the ending); small images are shown twice as large.

    Raises:
        ValueError: image and cells are of different sizes.
        OutputError: the file cannot be written.
    """
    from PIL import Image

    if max(source.shape) < ENLARGED_BELOW:
        _check_same_size(source, instances)
        size = (2 * source.shape[0], 2 * source.shape[1])
        drawn = _paint(_gray(source, size), _doubled(instances), by)
    else:
        drawn = draw_overlay(source, instances, by=by)
    with whole_file(path) as temporary:
        Image.fromarray(drawn).save(temporary)


def _check_same_size(source: ImageSource, instances: Instances) -> None:
    if source.shape != instances.size:
        raise ValueError(f"cells of {instances.size} pixels over an image of {source.shape}")


def _shown_size(size: Size, longest_side: int) -> Size:
    factor = min(1.0, longest_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _gray(source: ImageSource, size: Size) -> UInt8:
    """uint8[h, w] of the channels' mean, contrast by percentiles; read and resized in bands."""
    statistics = source.statistics
    low = float(statistics.percentile(DARKEST).mean())
    high = float(statistics.percentile(BRIGHTEST).mean())
    rows = max(1, BAND_PIXELS // source.shape[1])
    bands = -(-source.shape[0] // rows)
    edges = np.linspace(0, size[0], bands + 1).round().astype(int)
    result = np.empty(size, np.uint8)
    for top, bottom in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        first, last = (round(edge * source.shape[0] / size[0]) for edge in (top, bottom))
        pixels = source.read(Window(first, 0, last, source.shape[1])).mean(axis=0)
        shown = resize(pixels, (bottom - top, size[1]))
        result[top:bottom] = np.clip((shown - low) * (255 / max(high - low, 1e-6)), 0, 255)
    return result


def _shrunk(instances: Instances, size: Size) -> Instances:
    """The cells in an image shrunk to `size`; a cell keeps at least one pixel."""
    if size == instances.size:
        return instances
    rows, cols = size[0] / instances.size[0], size[1] / instances.size[1]
    runs = np.empty_like(instances.runs)
    runs[:, 0] = np.minimum(instances.runs[:, 0] * rows, size[0] - 1)
    runs[:, 1] = np.minimum(np.rint(instances.runs[:, 1] * cols), size[1] - 1)
    runs[:, 2] = np.maximum(np.rint(instances.runs[:, 2] * cols), runs[:, 1] + 1)
    return Instances.from_runs(
        runs, instances.run_owner, len(instances), size,
        cell_type=instances.cell_type, type_names=instances.type_names,
    )  # fmt: skip


def _doubled(instances: Instances) -> Instances:
    """The cells at twice the size."""
    runs = np.repeat(instances.runs * 2, 2, axis=0)
    runs[1::2, 0] += 1
    return Instances.from_runs(
        runs, np.repeat(instances.run_owner, 2), len(instances),
        (2 * instances.size[0], 2 * instances.size[1]),
        cell_type=instances.cell_type, type_names=instances.type_names,
    )  # fmt: skip


def _paint(gray: UInt8, instances: Instances, by: Literal["type", "cell"] | None) -> UInt8:
    """uint8[h, w, 3]: outlines, one pixel wide and inside their cells, over gray."""
    picture = np.repeat(gray[:, :, None], 3, axis=2)
    labels = instances.label_map()
    edge = np.zeros(labels.shape, bool)
    differs = labels[1:] != labels[:-1]
    edge[1:] |= differs
    edge[:-1] |= differs
    differs = labels[:, 1:] != labels[:, :-1]
    edge[:, 1:] |= differs
    edge[:, :-1] |= differs
    edge &= labels > 0
    picture[edge] = _colours(instances, by)[labels[edge] - 1]
    return picture


def _colours(instances: Instances, by: Literal["type", "cell"] | None) -> UInt8:
    """uint8[N, 3]: the colour of each cell."""
    if by == "type" or (by is None and len(instances.type_names) > 1):
        return TYPE_COLOURS[instances.cell_type % len(TYPE_COLOURS)]
    # Golden steps round the colour circle keep neighbours in the order far apart in hue.
    hue = (np.arange(len(instances)) * GOLDEN % 1)[:, None]
    wave = np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    return np.asarray(64 + 191 * np.clip(wave, 0, 1), np.uint8)
