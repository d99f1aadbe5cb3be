"""A folder with a mask per cell, as in the Data Science Bowl 2018: `masks/<anything>.png`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bigkingxxl.errors import FormatError
from bigkingxxl.files import whole_file
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.label_images import check_same_size, one_channel
from bigkingxxl.io.images.image_files import read_header, read_values

SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
WHITE = 255


def mask_files(folder: Path) -> list[Path]:
    """List the masks of a folder, sorted."""
    return sorted(
        path for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )  # fmt: skip


def read_mask_folder(folder: Path, size: tuple[int, int]) -> Instances:
    """Read one cell per non-empty mask, in order of the file names; they may overlap.

    Args:
        folder: The folder.
        size: (H, W) of the image.

    Raises:
        ImageError: A mask cannot be read.
        FormatError: A mask has another size or is coloured.
    """
    parts = [np.zeros((0, 3), np.int32)]
    owners = [np.zeros(0, np.int64)]
    paths = mask_files(folder)
    for index, path in enumerate(paths):
        check_same_size(path, size, read_header(path).shape)
        values = one_channel(path, read_values(path))
        cell = Instances.from_label_map((values != 0).astype(np.int32))
        parts.append(cell.runs)
        owners.append(np.full(len(cell.runs), index))
    if not paths:
        raise FormatError(f"{folder} contains no masks, expected one image per cell", file=folder)
    cells = Instances.from_runs(np.concatenate(parts), np.concatenate(owners), len(paths), size)
    return cells.take(np.diff(cells.splits) > 0)


def write_mask_folder(folder: Path, instances: Instances) -> None:
    """Write `cell_00001.png` and so on, 255 inside the cell; types and scores are lost.

    Raises:
        OutputError: A file cannot be written.
    """
    from PIL import Image

    for index in range(len(instances)):
        mask = instances.mask(index).astype(np.uint8) * WHITE
        with whole_file(folder / f"cell_{index + 1:05d}.png") as temporary:
            Image.fromarray(mask).save(temporary)
