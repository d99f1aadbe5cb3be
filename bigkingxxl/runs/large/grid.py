"""How a large image is divided into blocks: by its shape alone, the same for every worker."""

from __future__ import annotations

from dataclasses import dataclass

from bigkingxxl.geometry import Window

ABOVE = 2**24  # pixels; larger images are processed block by block
CORE = 1024  # side of the core of a block, in pixels of the image; networks may enlarge them
# Chunks and tiles of the labels as written; a core holds whole ones.
CHUNKS, TILES = 2, 4  # per core, each way
STRIP = 4  # rows of blocks that are traversed together


def is_large(shape: tuple[int, int]) -> bool:
    """Whether an image of (H, W) pixels is processed block by block."""
    return shape[0] * shape[1] > ABOVE


@dataclass(frozen=True)
class Grid:
    """The blocks of an image, numbered row by row from 0.

    The cores of the blocks cover the image without overlap. A cell belongs to the block whose core
    holds its centre.

    Attributes:
        shape: (H, W) of the image.
        core: Side of a core, in pixels.
    """

    shape: tuple[int, int]
    core: int

    @classmethod
    def of(cls, shape: tuple[int, int]) -> Grid:
        """Return the grid of an image of (H, W) pixels."""
        return cls(shape, CORE)

    @property
    def counts(self) -> tuple[int, int]:
        """Number of blocks down and across."""
        return -(-self.shape[0] // self.core), -(-self.shape[1] // self.core)

    def __len__(self) -> int:
        return self.counts[0] * self.counts[1]

    def walk(self) -> list[int]:
        """Return all blocks in strips of a few rows, so that most come soon after their neighbours.

        The network's maps at the seam between two blocks are kept for a while; see `SeamMaps`.
        """
        down, across = self.counts
        return [
            row * across + col
            for top in range(0, down, STRIP) for col in range(across)
            for row in range(top, min(top + STRIP, down))
        ]  # fmt: skip

    def place(self, block: int) -> tuple[int, int]:
        """Return the row and the column of a block among the others."""
        return divmod(block, self.counts[1])

    def core_of(self, block: int) -> Window:
        """Return the core of a block."""
        row, col = self.place(block)
        first = Window(row * self.core, col * self.core, (row + 1) * self.core,
                       (col + 1) * self.core)  # fmt: skip
        return first.clipped(self.shape)

    def around(self, block: int, margin: int) -> Window:
        """Return the core of a block with `margin` pixels around it, clipped to the image."""
        core = self.core_of(block)
        wide = Window(core.row0 - margin, core.col0 - margin, core.row1 + margin,
                      core.col1 + margin)  # fmt: skip
        return wide.clipped(self.shape)

    def neighbours(self, block: int) -> list[int]:
        """Return the up to eight blocks around a block, in order."""
        return [other for other in self.within(block, 1) if other != block]

    def within(self, block: int, reach: int) -> list[int]:
        """Return the block and all blocks up to `reach` rows and columns away, in order."""
        down, across = self.counts
        row, col = self.place(block)
        return [
            r * across + c
            for r in range(max(row - reach, 0), min(row + reach + 1, down))
            for c in range(max(col - reach, 0), min(col + reach + 1, across))
        ]
