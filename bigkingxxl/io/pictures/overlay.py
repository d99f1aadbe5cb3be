"""Overlays: the outlines of cells on the image, coloured by cell type or by cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import OutputError
from bigkingxxl.files import whole_file
from bigkingxxl.geometry import Window, resize
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import NO_TYPE, Instances

if TYPE_CHECKING:
    from PIL import Image

UInt8 = NDArray[np.uint8]
Size = tuple[int, int]
LONGEST_SIDE = 4096
ENDINGS = (".png", ".jpg", ".jpeg")
ENLARGED_BELOW = 1200  # pixels; on smaller images, one-pixel outlines would hide small cells
BAND_PIXELS = 16_000_000
DARKEST, BRIGHTEST = 0.5, 99.5  # percentiles that are shown as black and white
SMALLEST_SPREAD = 1e-30  # between these
# The palette of Okabe and Ito without black, which colour-blind readers can distinguish on grey.
TYPE_COLOURS = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0),
     (0, 114, 178)], np.uint8
)  # fmt: skip
CELL_COLOURS = 64
GOLDEN = 0.618033988749895
PALETTE = 256


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with at most 256 colours, which needs a third of the memory and compresses faster.

    Attributes:
        index: uint8[H, W], indices into the palette.
        palette: uint8[256, 3], the colours of cells, then greys from black to white.
    """

    index: UInt8
    palette: UInt8

    def rgb(self) -> UInt8:
        """Return the picture as uint8[H, W, 3]."""
        return self.palette[self.index]

    def image(self) -> Image.Image:
        """Return a Pillow image with a palette."""
        from PIL import Image

        image = Image.fromarray(self.index)
        image.putpalette(self.palette.tobytes())
        return image

    def save(self, path: Path) -> None:
        """Write PNG or JPEG, by the ending.

        Raises:
            OutputError: The ending is another one, or the file cannot be written.
        """
        if path.suffix.lower() not in ENDINGS:
            raise OutputError(
                f"{path} is not written: pictures are kept as {', '.join(ENDINGS)}",
                file=path,
                key="format",
                expected=tuple(ENDINGS),
            )
        image = self.image()
        with whole_file(path) as temporary:
            if temporary.suffix.lower() == ".png":
                # The highest level would take six times as long for a tenth of the size.
                image.save(temporary, compress_level=1)
            else:
                image.convert("RGB").save(temporary)


def draw_overlay(
    source: ImageSource,
    instances: Instances,
    *,
    by: Literal["type", "cell"] | None = None,
    longest_side: int = LONGEST_SIDE,
) -> UInt8:
    """Draw the outlines of cells on the grey image, uint8[H, W, 3]; large images are shrunk.

    Args:
        source: The image.
        instances: The cells.
        by: What a colour stands for; by default the cell type, if there are several.
        longest_side: Longer images are shrunk to it.

    Raises:
        ValueError: The sizes of image and cells differ.
    """
    return overlay_picture(source, instances, by=by, longest_side=longest_side).rgb()


def overlay_picture(
    source: ImageSource,
    instances: Instances,
    *,
    by: Literal["type", "cell"] | None = None,
    longest_side: int = LONGEST_SIDE,
) -> Picture:
    """Draw an overlay like `draw_overlay`, as a picture with few colours."""
    _check_same_size(source, instances)
    size = shown_size(source.shape, longest_side)
    return _painted(source, shrunk(instances, size), by)


def picture_of_parts(
    source: ImageSource, parts: Iterable[Instances], longest_side: int = LONGEST_SIDE
) -> Picture:
    """Draw the overlay of a large image whose cells come in parts, at the size that is shown.

    Args:
        source: The image.
        parts: Cells in the frame of the image; colours follow their order.
        longest_side: Longer images are shrunk to it.

    Raises:
        ValueError: The sizes of image and cells differ.
    """
    size = shown_size(source.shape, longest_side)
    shown = list[Instances]()
    for part in parts:
        _check_same_size(source, part)
        shown.append(shrunk(part, size))
    cells = Instances.concatenate(shown) if shown else Instances.empty(size)
    return _painted(source, cells, None)


def write_overlay(
    path: Path,
    source: ImageSource,
    instances: Instances,
    *,
    by: Literal["type", "cell"] | None = None,
) -> None:
    """Write the overlay as PNG or JPEG (by the ending); small images are enlarged twice.

    Raises:
        ValueError: The sizes of image and cells differ.
        OutputError: The file cannot be written.
    """
    _check_same_size(source, instances)
    if max(source.shape) < ENLARGED_BELOW:
        picture = _painted(source, doubled(instances), by)
    else:
        picture = overlay_picture(source, instances, by=by)
    picture.save(path)


def _check_same_size(source: ImageSource, instances: Instances) -> None:
    if source.shape != instances.size:
        raise ValueError(f"cells of {instances.size} pixels over an image of {source.shape}")


def shown_size(size: Size, longest_side: int) -> Size:
    """Return the size (H, W) at which an image is shown."""
    factor = min(1.0, longest_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def gray(source: ImageSource, size: Size, levels: int) -> UInt8:
    """Return the mean of the channels as uint8[h, w] below `levels`, with percentile contrast."""
    statistics = source.statistics
    low = float(statistics.percentile(DARKEST).mean())
    high = float(statistics.percentile(BRIGHTEST).mean())
    rows = max(1, BAND_PIXELS // source.shape[1])
    bands = -(-source.shape[0] // rows)
    edges = np.linspace(0, size[0], bands + 1).round().astype(int)
    result = np.empty(size, np.uint8)
    for top, bottom in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        first, last = (round(edge * source.shape[0] / size[0]) for edge in (top, bottom))
        pixels = source.read(Window(first, 0, last, source.shape[1]))
        mean = pixels[0] if len(pixels) == 1 else pixels.mean(axis=0)
        shown = resize(mean, (bottom - top, size[1]))
        shown -= np.float32(low)
        shown *= np.float32((levels - 1) / (high - low if high - low > SMALLEST_SPREAD else 1.0))
        result[top:bottom] = np.clip(np.rint(shown, out=shown), 0, levels - 1, out=shown)
    return result


def shrunk(instances: Instances, size: Size) -> Instances:
    """Shrink cells with their image to `size`; a cell keeps at least one pixel."""
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


def doubled(instances: Instances) -> Instances:
    """Enlarge cells twice."""
    runs = np.repeat(instances.runs * 2, 2, axis=0)
    runs[1::2, 0] += 1
    return Instances.from_runs(
        runs, np.repeat(instances.run_owner, 2), len(instances),
        (2 * instances.size[0], 2 * instances.size[1]),
        cell_type=instances.cell_type, type_names=instances.type_names,
    )  # fmt: skip


def _painted(
    source: ImageSource, instances: Instances, by: Literal["type", "cell"] | None
) -> Picture:
    """Draw one-pixel outlines, inside their cells, on the image at the size of the cells."""
    colour_of, colours = _colours(instances, by)
    levels = PALETTE - len(colours)
    grays = np.linspace(0, 255, levels).round().astype(np.uint8)
    index = gray(source, instances.size, levels)
    index += np.uint8(len(colours))
    labels = instances.label_map()
    edge = outlines(labels)
    index[edge] = colour_of[labels[edge] - 1]
    return Picture(index, np.concatenate((colours, np.repeat(grays[:, None], 3, axis=1))))


def outlines(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the pixels of cells that touch another label, bool[H, W], one pixel wide."""
    edge = np.zeros(labels.shape, bool)
    differs = labels[1:] != labels[:-1]
    edge[1:] |= differs
    edge[:-1] |= differs
    differs = labels[:, 1:] != labels[:, :-1]
    edge[:, 1:] |= differs
    edge[:, :-1] |= differs
    edge &= labels > 0
    return edge


def _tells_types(instances: Instances) -> bool:
    """Return whether types distinguish cells: several are known, and most cells have one."""
    names = instances.type_names
    if len(names) < 2 or NO_TYPE not in names:
        return len(names) > 1
    without = instances.cell_type == names.index(NO_TYPE)
    return bool(2 * without.sum() < len(without))


def _colours(instances: Instances, by: Literal["type", "cell"] | None) -> tuple[UInt8, UInt8]:
    """Return the index of each cell's colour, uint8[N], and the colours, uint8[K, 3]."""
    if by == "type" or (by is None and _tells_types(instances)):
        kind = instances.cell_type % len(TYPE_COLOURS)
        return kind.astype(np.uint8), TYPE_COLOURS[: len(instances.type_names)]
    # Steps of the golden ratio around the colour circle give neighbours different hues.
    hue = (np.arange(CELL_COLOURS) * GOLDEN % 1)[:, None]
    wave = np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    colours = np.asarray(64 + 191 * np.clip(wave, 0, 1), np.uint8)
    return (np.arange(len(instances)) % CELL_COLOURS).astype(np.uint8), colours
