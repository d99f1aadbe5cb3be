"""One image: its channels and levels, its cells, and what the model saw besides."""

from __future__ import annotations

from typing import Literal

from bigkingxxl.viewer.contract.common import (
    CellNumber,
    Count,
    Origin,
    TypeName,
    Unit,
    Wire,
)
from bigkingxxl.viewer.contract.strip import (
    ImageEntry,
)


class Channel(Wire):
    """One channel of an image.

    Attributes:
        low, high: intensities that are shown as 0 and 255; minimum, maximum: of all pixels.
        histogram: 256 counts from minimum to maximum (of a subsample of a large image).
    """

    index: Count
    name: str
    low: float
    high: float
    minimum: float
    maximum: float
    histogram: tuple[int, ...]


class Level(Wire):
    """One level of the pyramid; level 0 is the image itself."""

    level: Count
    width: int
    height: int
    rows: int
    cols: int


class ImageInfo(Wire):
    """All about an image but its pixels.

    Attributes:
        pixel_size_um: micrometres (row, column) a pixel, or None.
        levels: of the pyramid; one where the whole image may be asked for.
        is_rgb: `channel=rgb` gives its colours.
        label_dtype: of /labels at this revision; next_cell: a number that no cell has or had.
        has_candidates: whether /candidates has any.
        windows: other windows that have this image open.
        label_file, image_file: where they lie, for people.
    """

    entry: ImageEntry
    channels: tuple[Channel, ...]
    pixel_size_um: tuple[float, float] | None = None
    levels: tuple[Level, ...]
    is_rgb: bool = False
    label_dtype: Literal["uint16", "uint32"] = "uint16"
    next_cell: CellNumber = 1
    has_candidates: bool = False
    windows: Count = 0
    label_file: str = ""
    image_file: str = ""


class Cell(Wire):
    """What is known of a cell beside its pixels.

    Attributes:
        origin: who made it; type: its cell type, "" where not known.
        score: the model's, None for drawn cells and where not known.
    """

    origin: Origin
    type: TypeName = ""
    score: Unit | None = None


class Measurement(Wire):
    """A column of measurements, one value per cell; None: not defined."""

    name: str
    unit: str = ""
    values: tuple[float | None, ...]


class CellTable(Wire):
    """The cells of an image, in the order of `ids`; all columns are of its length.

    Attributes:
        boxes: row0, col0, row1, col1 of each, half-open, one after the other.
        areas: pixels; measurements: only where `measurements=1` was asked for.
    """

    revision: Count
    ids: tuple[int, ...]
    cells: tuple[Cell, ...]
    boxes: tuple[int, ...]
    areas: tuple[int, ...]
    measurements: tuple[Measurement, ...] = ()


class Candidate(Wire):
    """A cell that the model saw and that was not taken.

    Attributes:
        index: in the stored candidates, those of a second look behind them.
        box: row0, col0, row1, col1, half-open.
        runs: place and length of each run of pixels, one after the other.
    """

    index: Count
    score: Unit
    type: TypeName = ""
    box: tuple[int, int, int, int]
    runs: tuple[int, ...]


class CandidateList(Wire):
    """The candidates that no cell was made of, the surest first."""

    candidates: tuple[Candidate, ...]
