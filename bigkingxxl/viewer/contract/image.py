"""An image: its channels and levels, its cells, and the other candidates of the model."""

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
        low: The intensity that is shown as 0.
        high: The intensity that is shown as 255.
        minimum: The minimum of all pixels.
        maximum: The maximum of all pixels.
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
    """An image without its pixels and cells.

    Attributes:
        pixel_size_um: Micrometres per pixel (row, column), or None.
        levels: The levels of the pyramid; a single one if the whole image may be requested.
        is_rgb: Whether `channel=rgb` returns its colours.
        label_dtype: The dtype of /labels at this revision.
        next_cell: A number that no cell has or has had.
        has_candidates: Whether candidates are stored for this image.
        windows: The other windows that have this image open.
        label_file: The path of the label image, for users.
        image_file: The path of the image, for users.
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
    """The attributes of a cell.

    Attributes:
        origin: Whether the model predicted it, a person edited it, or a person drew it.
        type: Its cell type, "" if unknown.
        score: The score of the model; None for drawn cells and if unknown.
    """

    origin: Origin
    type: TypeName = ""
    score: Unit | None = None


class Measurement(Wire):
    """A column of measurements with one value per cell; None if it is undefined."""

    name: str
    unit: str = ""
    values: tuple[float | None, ...]


class CellTable(Wire):
    """The cells of an image, in the order of `ids`; all columns have the same length.

    Attributes:
        boxes: Half-open row0, col0, row1, col1 of each cell, one after the other.
        areas: In pixels.
        measurements: Only if `measurements=1` was requested.
    """

    revision: Count
    ids: tuple[int, ...]
    cells: tuple[Cell, ...]
    boxes: tuple[int, ...]
    areas: tuple[int, ...]
    measurements: tuple[Measurement, ...] = ()


class Candidate(Wire):
    """A cell that the model detected, but whose score was too low.

    Attributes:
        index: The index among the stored candidates, followed by those of a second prediction.
        box: Half-open row0, col0, row1, col1.
        runs: Place and length of each run of pixels, one after the other.
    """

    index: Count
    score: Unit
    type: TypeName = ""
    box: tuple[int, int, int, int]
    runs: tuple[int, ...]


class CandidateList(Wire):
    """The candidates that were not selected as cells, highest score first."""

    candidates: tuple[Candidate, ...]
