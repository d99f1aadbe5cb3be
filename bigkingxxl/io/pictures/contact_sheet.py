"""A contact sheet: thumbnails of all images of a run on one page, with their numbers of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.display_text import printable
from bigkingxxl.files import whole_file
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.pictures.overlay import overlay_picture

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

UInt8 = NDArray[np.uint8]
SIDE = 320  # the side of the square of a thumbnail in pixels
LONGEST_SIDE = 8192  # of the sheet; with more images the thumbnails get smaller
SMALLEST_SIDE = 48
ASPECT = 4 / 3
MARGIN = 8
LARGEST_TEXT = 14
PAPER, INK = (255, 255, 255), (32, 32, 32)


@dataclass(frozen=True)
class Thumbnail:
    """An image of a contact sheet: the file of its thumbnail, its name and its number of cells."""

    path: Path
    name: str
    cells: int


def write_thumbnail(path: Path, source: ImageSource, instances: Instances) -> None:
    """Write the overlay of an image, shrunk for a contact sheet, as PNG or JPEG.

    Raises:
        ValueError: The sizes of image and cells differ.
        OutputError: The file cannot be written.
    """
    overlay_picture(source, instances, longest_side=SIDE).save(path)


def draw_contact_sheet(thumbnails: Sequence[Thumbnail]) -> UInt8:
    """Draw thumbnails in rows, with name and number of cells below each: uint8[H, W, 3].

    With more thumbnails they get smaller, down to 48 pixels; beyond that the sheet grows. The place
    of an unreadable thumbnail stays empty.
    """
    from PIL import Image, ImageDraw

    count = max(len(thumbnails), 1)
    columns = max(1, math.ceil(math.sqrt(count * ASPECT)))
    side = max(SMALLEST_SIDE, min(SIDE, (LONGEST_SIDE - MARGIN) // columns - MARGIN))
    font = _font(side)
    sizes = [_shown_size(thumbnail.path, side) for thumbnail in thumbnails]
    tall = max((height for _, height in sizes), default=side)
    across, down = side + MARGIN, tall + MARGIN + 2 * (int(font.size) + 2)
    size = (columns * across + MARGIN, -(-count // columns) * down + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (thumbnail, (width, height)) in enumerate(zip(thumbnails, sizes, strict=True)):
        left, top = MARGIN + index % columns * across, MARGIN + index // columns * down
        if width:
            corner = (left + (side - width) // 2, top + tall - height)
            sheet.paste(_shown(thumbnail.path, (width, height)), corner)
        plural = "" if thumbnail.cells == 1 else "s"
        lines = (_shortened(thumbnail.name, draw, font, side), f"{thumbnail.cells} cell{plural}")
        draw.multiline_text((left, top + tall), "\n".join(lines), INK, font, spacing=2)
    return np.asarray(sheet)


def write_contact_sheet(path: Path, thumbnails: Sequence[Thumbnail]) -> None:
    """Write a contact sheet of thumbnails as PNG.

    Raises:
        OutputError: The file cannot be written.
    """
    from PIL import Image

    sheet = Image.fromarray(draw_contact_sheet(thumbnails))
    with whole_file(path) as temporary:
        sheet.save(temporary)


def _font(side: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(min(LARGEST_TEXT, max(6, side // 10)))
    return font  # type: ignore[return-value]  # with a size it is a FreeType font


def _shown_size(path: Path, side: int) -> tuple[int, int]:
    """Return width and height of a thumbnail that fits a square; (0, 0) if it is unreadable."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError:
        return 0, 0
    factor = min(1.0, side / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _shown(path: Path, size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    with Image.open(path) as image:
        picture = image.convert("RGB")
    return picture if picture.size == size else picture.resize(size)


def _shortened(
    name: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, width: int
) -> str:
    """Fit the name into one line by omitting its middle."""
    name = printable(name).encode("utf-8", "backslashreplace").decode("utf-8")
    kept = len(name)
    text = name
    while draw.textlength(text, font) > width and kept > 2:
        kept -= 1
        text = f"{name[: (kept + 1) // 2]}…{name[len(name) - kept // 2 :]}"
    return text
