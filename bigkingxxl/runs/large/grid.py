"""How a large image is cut into blocks: by its shape alone, so that every worker cuts it alike."""

from __future__ import annotations

from dataclasses import dataclass

from bigkingxxl.geometry import Window

ABOVE = 2**24  # pixels: larger images are worked on block by block
CORE = 2048  # side of what a block owns, in pixels of the image
# Of the labels as they are written; a core holds whole ones.
CHUNKS, TILES = 2, 4  # each way
STRIP = 4  # rows of blocks that are walked through together


def is_large(shape: tuple[int, int]) -> bool:
    """Whether an image of (H, W) pixels is worked on block by block."""
    return shape[0] * shape[1] > ABOVE


@dataclass(frozen=True)
class Grid:
    """The blocks of an image, numbered row by row from 0.

    The cores of the blocks cover the image without overlap. A cell belongs to the block in whose
    core its centre lies.

    Attributes:
        shape: (H, W) of the image; core: the side of a core, in its pixels.
    """

    shape: tuple[int, int]
    core: int

    @classmethod
    def of(cls, shape: tuple[int, int]) -> Grid:
        """That of an image of (H, W) pixels."""
        return cls(shape, CORE)

    @property
    def counts(self) -> tuple[int, int]:
        """Blocks down and across."""
        return -(-self.shape[0] // self.core), -(-self.shape[1] // self.core)

    def __len__(self) -> int:
        return self.counts[0] * self.counts[1]

    def walk(self) -> list[int]:
        """All blocks, in strips of a few rows, so that most come soon after their neighbours.

        What was seen over the seam between two blocks is kept for a while, see `SeamMaps`.
        """
        down, across = self.counts
        return [
            row * across + col
            for top in range(0, down, STRIP) for col in range(across)
            for row in range(top, min(top + STRIP, down))
        ]  # fmt: skip

    def place(self, block: int) -> tuple[int, int]:
        """Row and column of a block among the others."""
        return divmod(block, self.counts[1])

    def core_of(self, block: int) -> Window:
        """What a block owns."""
        row, col = self.place(block)
        first = Window(row * self.core, col * self.core, (row + 1) * self.core,
                       (col + 1) * self.core)  # fmt: skip
        return first.clipped(self.shape)

    def around(self, block: int, margin: int) -> Window:
        """The core of a block and `margin` pixels around it, inside the image."""
        core = self.core_of(block)
        wide = Window(core.row0 - margin, core.col0 - margin, core.row1 + margin,
                      core.col1 + margin)  # fmt: skip
        return wide.clipped(self.shape)

    def neighbours(self, block: int) -> list[int]:
        """The up to eight blocks around one, in order."""
        return [other for other in self.within(block, 1) if other != block]

    def within(self, block: int, reach: int) -> list[int]:
        """The blocks up to so many rows and columns away, and the block itself, in order."""
        down, across = self.counts
        row, col = self.place(block)
        return [
            r * across + c
            for r in range(max(row - reach, 0), min(row + reach + 1, down))
            for c in range(max(col - reach, 0), min(col + reach + 1, across))
        ]
