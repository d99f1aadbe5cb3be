"""Workspaces: a folder as the viewer sees it, with its images, their cells and the results."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.display_text import printable
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import CORRECTIONS
from bigkingxxl.io.annotations.label_tiles import label_type
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.viewer.contract import Cell, Origin, Settings
from bigkingxxl.viewer.server.document import compact, counts_of
from bigkingxxl.viewer.server.pixels import ShownImage

LONGEST_TYPE = 100
Kind = Literal["run", "images", "dataset", "annotate"]


@dataclass(frozen=True)
class KnownImage:
    """An image of the folder, with what is known without opening it.

    Attributes:
        name: Its id.
        path: Its file.
        frame: The plane of the file, or None.
        state: 'waiting' to be predicted, 'ready' or 'failed'.
        failure: Why it failed.
        warnings: Sentences on the image.
        size: (H, W); None if unknown.
        cells: The number of predicted cells.
        confluence: The covered fraction, 0 to 1.
        expected_error: See `expected_error`.
    """

    name: str
    path: Path
    frame: int | None = None
    state: Literal["waiting", "ready", "failed"] = "ready"
    failure: str = ""
    warnings: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    cells: int | None = None
    confluence: float | None = None
    expected_error: float | None = None

    @property
    def key(self) -> str:
        """Identifies the image in routes."""
        return key_of(self.name)


@dataclass(frozen=True)
class Start:
    """The cells of an image before any correction in the viewer.

    Attributes:
        labels: The numbers of cells [H, W].
        cells: The attributes by number.
        reviewed: bool[H, W], the reviewed pixels.
        before: The SHA-256 of the run's label image, "" if there is none.
    """

    labels: NDArray[Any]
    cells: Mapping[int, Cell]
    reviewed: NDArray[np.bool_]
    before: str = ""

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Start:
        """Create the start of an image without cells."""
        return cls(np.zeros(size, np.uint16), {}, np.zeros(size, bool))


@dataclass
class Workspace(ABC):
    """A folder in the viewer.

    Attributes:
        folder: The folder that the user named.
        notices: Sentences to show once.
    """

    folder: Path
    notices: list[str] = field(default_factory=list, init=False)

    kind: Kind = field(default="run", init=False)

    @property
    def run_folder(self) -> Path | None:
        """The folder of the run; None if there is none."""
        return None

    @property
    def corrections_folder(self) -> Path:
        """The folder of the corrected cells."""
        top = self.folder if self.folder.is_dir() else self.folder.parent
        return (self.run_folder or top) / CORRECTIONS

    @property
    def reading(self) -> dict[str, Any]:
        """Return how images are opened, for readers of the corrections."""
        return {}

    @property
    @abstractmethod
    def type_names(self) -> tuple[str, ...]:
        """The known cell types."""

    @abstractmethod
    def images(self) -> dict[str, KnownImage]:
        """Return all images by their ids, sorted by name."""

    @abstractmethod
    def open(self, image: KnownImage) -> ShownImage:
        """Open an image for display.

        Raises:
            ImageError: It does not exist any longer or cannot be read.
        """

    @abstractmethod
    def start(self, image: KnownImage) -> Start:
        """Return the cells of an image before any correction in the viewer.

        Raises:
            InputError: They do not exist, are damaged, or have another size than the image.
        """

    def counted(self, image: KnownImage) -> KnownImage:
        """Return an image with its number of cells, if these must be read for it.

        Raises:
            InputError: They cannot be read.
        """
        return image

    def candidates(self, image: KnownImage) -> Candidates | None:  # noqa: ARG002 - of runs alone
        """Return all candidates of an image; None if they are not stored."""
        return None

    def preview(self, image: KnownImage, settings: Settings) -> Instances | None:  # noqa: ARG002
        """Return the cells that other settings would select; None if that is unknown."""
        return None

    @property
    def model(self) -> str:
        """Return the name or file of the model that predicted the cells; "" if unknown."""
        return ""

    @property
    def settings(self) -> Settings:
        """Return the slider values with which the cells were selected."""
        return Settings()

    @property
    def cannot_apply(self) -> str:
        """Return why other settings cannot be applied, in one sentence, or ""."""
        return "these cells were not predicted, so there are no thresholds to change"

    def why_read_only(self) -> str:
        """Return why nothing can be written, in one sentence, or ""."""
        place = self.corrections_folder
        while not place.exists():
            place = place.parent
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            return ""
        return f"{place} cannot be written, so the cells cannot be corrected"


def key_of(name: str) -> str:
    """Return sixteen letters and digits for an image's id."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def start_of(
    cells: NumberedCells, origin: Origin, *, reviewed: NDArray[np.bool_] | None = None,
    before: str = "",
) -> Start:  # fmt: skip
    """Return cells of one origin as a start; a cell without a known score was changed by a person.

    Args:
        cells: The cells.
        origin: Their origin.
        reviewed: bool[H, W], the reviewed pixels (default: none).
        before: See `Start`.
    """
    found = cells.instances
    labels = numbered_map(cells)
    there = counts_of(labels)
    scores = [None] * len(found) if found.score is None else found.score.tolist()
    known: dict[int, Cell] = {}
    for number, kind, score in zip(cells.numbers.tolist(), found.cell_type.tolist(), scores,
                                   strict=True):  # fmt: skip
        if number not in there:  # other cells cover it completely
            continue
        is_known = score is not None and score == score
        own: Origin = origin if is_known or origin == "drawn" else "edited"
        known[number] = Cell(
            origin=own, type=type_name(found.type_names[kind]),
            score=min(max(score, 0.0), 1.0) if is_known and score is not None else None,
        )  # fmt: skip
    return Start(
        labels, known, np.zeros(found.size, bool) if reviewed is None else reviewed, before
    )


def type_name(text: str) -> str:
    """Return the name of a cell type as it is exchanged."""
    return printable(text)[:LONGEST_TYPE]


def numbered_map(cells: NumberedCells) -> NDArray[Any]:
    """Paint each cell with its own number, uint16 or uint32 [H, W]."""
    labels = compact(cells.instances.label_map())
    if np.array_equal(cells.numbers, np.arange(1, len(cells.numbers) + 1)):
        return labels
    numbers = np.concatenate(([0], cells.numbers))
    kind = label_type(int(numbers.max()))
    found: NDArray[Any] = numbers.astype(kind)[labels]
    return found


def shown(sources: Mapping[int | None, Any]) -> ShownImage:
    """Return an image by channel: None is the predicted image, and 0, 1, 2 its colours, if any."""
    colours = tuple(sources[index] for index in (0, 1, 2) if index in sources)
    return ShownImage(sources[None], colours if len(colours) == 3 else ())
