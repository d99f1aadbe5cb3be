"""The formats of a large image, written block by block as parts, which are then merged.

A part is written atomically by the first process that needs it, and does not depend on the process.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.files import write_bytes
from bigkingxxl.geometry import Window
from bigkingxxl.images import ImageSource, PartOfImage
from bigkingxxl.instances import Instances, PixelSize
from bigkingxxl.io.annotations.label_tiles import encoded_tile, label_type, write_label_tiles
from bigkingxxl.io.annotations.zarr_labels import ZarrLabels
from bigkingxxl.runs.large.grid import CHUNKS, TILES, Grid
from bigkingxxl.runs.large.merge_files import merge_archives, merge_geojson, merge_tables
from bigkingxxl.runs.outputs import IMAGE_FORMATS, PredictedImage

LENGTHS = "<u4"  # of the tiles in a part, which they precede
CREATED = "created"  # beside the parts of a Zarr, once its arrays exist


@dataclass(frozen=True, kw_only=True)
class BlockImage(PredictedImage):
    """A block of a large image with its own cells, in the frame of the image.

    Attributes:
        block: The number of the block.
        grid: The blocks of the image.
        highest: The highest number of a cell of the image.
        load_labels: Returns the numbers of all cells, including neighbours', in its core,
            int64[h, w].
    """

    block: int
    grid: Grid
    highest: int
    load_labels: Callable[[], NDArray[np.int64]]

    @cached_property
    def measurements(self) -> dict[str, NDArray[Any]]:
        """Measure the cells; only the part of the image that contains them is read."""
        from bigkingxxl.io.tables.measurements import measure

        cells, frame = self.instances, self._frame
        here = cells.shift(-frame.row0, -frame.col0, frame.size)
        table = measure(PartOfImage(self.source, frame), here)
        rows, cols = self.source.pixel_size_um or (np.nan, np.nan)
        for name, by in (("centroid_row", frame.row0), ("centroid_col", frame.col0)):
            table[name] = table[name] + by
        table["centroid_row_um"] = table["centroid_row"] * rows
        table["centroid_col_um"] = table["centroid_col"] * cols
        return {**table, "id": self.cells.numbers}

    @property
    def _frame(self) -> Window:
        """Return the bounding window of the block's cells; its core if it has none."""
        if not len(self.instances):
            return self.grid.core_of(self.block)
        boxes = self.instances.boxes()
        return Window(*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The numbers in the core of the block, int64[h, w], painted once for all formats."""
        return self.load_labels()


@dataclass(frozen=True)
class WholeImage:
    """A large image whose blocks are all resolved.

    Attributes:
        source: The image.
        grid: Its blocks.
        counts: int64[blocks], the number of cells of each block.
        cells: The cells of each block in order, read on demand.
        parts: The folder of the parts of a format.
        highest: The highest number of a cell.
    """

    source: ImageSource
    grid: Grid
    counts: NDArray[np.int64]
    cells: Callable[[], Iterator[Instances]]
    parts: Path
    highest: int
    pixel_size_um: PixelSize | None = None

    def part(self, block: int) -> Path:
        """Return the file of a block's part."""
        return part_of(self.parts, block)


class LargeFormat(NamedTuple):
    """How a format is written for a large image.

    Attributes:
        part: Writes a block to a file; None if the format has no parts.
        join: Writes the file of the image.
    """

    part: Callable[[Path, BlockImage], None] | None
    join: Callable[[Path, WholeImage], None]


def part_of(folder: Path, block: int) -> Path:
    """Return the file of a block's part in a folder."""
    return folder / f"{block:06d}"


def parts_of(whole: WholeImage) -> Sequence[Path]:
    """Return the files of all parts in the order of the blocks."""
    return [whole.part(block) for block in range(len(whole.grid))]


# ---- labels ----------------------------------------------------------------------------------


def _label_part(path: Path, block: BlockImage) -> None:
    side, dtype = block.grid.core // TILES, label_type(block.highest)
    height, width = block.labels.shape
    tiles = [
        encoded_tile(block.labels[row : row + side, col : col + side], side, dtype)
        for row in range(0, height, side)
        for col in range(0, width, side)
    ]
    lengths = np.array([len(tile) for tile in tiles], LENGTHS)
    write_bytes(path, lengths.tobytes() + b"".join(tiles))


def _join_labels(path: Path, whole: WholeImage) -> None:
    write_label_tiles(
        path, _tiles(whole), whole.grid.shape, whole.grid.core // TILES, label_type(whole.highest),
        whole.pixel_size_um,
    )  # fmt: skip


def _tiles(whole: WholeImage) -> Iterator[bytes]:
    """Yield the tiles of the image row by row; those of one row of blocks are held in memory."""
    grid, side = whole.grid, whole.grid.core // TILES
    down, across = grid.counts
    for row in range(down):
        blocks = [row * across + col for col in range(across)]
        tiles, widths = [], []
        for block in blocks:
            height, width = grid.core_of(block).size
            wide = -(-width // side)
            tiles.append(_read_tiles(whole.part(block), -(-height // side) * wide))
            widths.append(wide)
        for line in range(len(tiles[0]) // widths[0]):
            for own, wide in zip(tiles, widths, strict=True):
                yield from own[line * wide : (line + 1) * wide]


def _read_tiles(path: Path, count: int) -> list[bytes]:
    content = path.read_bytes()
    start = count * np.dtype(LENGTHS).itemsize
    ends = start + np.cumsum(np.frombuffer(content[:start], LENGTHS), dtype=np.int64)
    starts = np.append(start, ends[:-1])
    return [content[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]


def _zarr(version: str) -> LargeFormat:
    def folder(parts: Path, grid: Grid, total: int, size: PixelSize | None) -> ZarrLabels:
        return ZarrLabels(
            parts / "labels.zarr", grid.shape, label_type(total), grid.core // CHUNKS, version, size
        )

    def part(path: Path, block: BlockImage) -> None:
        size = block.source.pixel_size_um
        labels = folder(path.parent, block.grid, block.highest, size)
        made = path.with_name(CREATED)
        if not made.is_file():
            labels.create()
            write_bytes(made, b"")
        core = block.grid.core_of(block.block)
        labels.write(core.row0, core.col0, block.labels.astype(labels.dtype))
        write_bytes(path, b"")  # marks that all of its chunks exist

    def join(path: Path, whole: WholeImage) -> None:
        labels = folder(whole.parts, whole.grid, whole.highest, whole.pixel_size_um)
        labels.write_pyramid()
        # If it is killed after this, the chunks are written again, because they have been moved.
        for mark in (*parts_of(whole), whole.parts / CREATED):
            mark.unlink(missing_ok=True)
        shutil.move(labels.path, path)

    return LargeFormat(part, join)


# ---- tables and outlines -----------------------------------------------------------------------


def _same_part(kind: str) -> Callable[[Path, BlockImage], None]:
    """Write a part like the file of a small image."""

    def part(path: Path, block: BlockImage) -> None:
        ending = IMAGE_FORMATS[kind].ending
        temporary = path.with_name(path.name + ending)
        IMAGE_FORMATS[kind].write(temporary, block)
        temporary.replace(path)

    return part


def _joined(join: Callable[[Path, Sequence[Path]], None]) -> Callable[[Path, WholeImage], None]:
    return lambda path, whole: join(path, parts_of(whole))


def _join_submission(path: Path, whole: WholeImage) -> None:
    """Merge submissions; the empty row of a part is kept only if the whole image has no cells."""
    parts = parts_of(whole)
    some = [part for part, count in zip(parts, whole.counts, strict=True) if count]
    merge_tables(path, some or parts[:1])


# ---- pictures ----------------------------------------------------------------------------------


def _join_overlay(path: Path, whole: WholeImage) -> None:
    from bigkingxxl.io.pictures.overlay import LONGEST_SIDE, picture_of_parts

    picture_of_parts(whole.source, whole.cells(), LONGEST_SIDE).save(path)


def _join_thumbnail(path: Path, whole: WholeImage) -> None:
    from bigkingxxl.io.pictures.contact_sheet import SIDE
    from bigkingxxl.io.pictures.overlay import picture_of_parts

    picture_of_parts(whole.source, whole.cells(), SIDE).save(path)


LARGE_FORMATS = {
    "labels": LargeFormat(_label_part, _join_labels),
    "zarr": _zarr("0.4"),
    "zarr-0.5": _zarr("0.5"),
    "overlay": LargeFormat(None, _join_overlay),
    "measurements": LargeFormat(_same_part("measurements"), _joined(merge_tables)),
    "contact_sheet": LargeFormat(None, _join_thumbnail),
    "imagej": LargeFormat(_same_part("imagej"), _joined(merge_archives)),
    "qupath": LargeFormat(_same_part("qupath"), _joined(merge_geojson)),
    "submission": LargeFormat(_same_part("submission"), _join_submission),
}
