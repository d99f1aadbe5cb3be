"""What a folder is to the viewer: its images, what is known of their cells, where results lie."""

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
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import CORRECTIONS
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.texts import printable
from bigkingxxl.viewer.contract import Cell, Origin, Settings
from bigkingxxl.viewer.server.document import LARGEST_UINT16, compact, counts_of
from bigkingxxl.viewer.server.pixels import ShownImage

LONGEST_TYPE = 100
Kind = Literal["run", "images", "dataset", "annotate"]


@dataclass(frozen=True)
class KnownImage:
    """An image of the folder, and what is known of it without opening it.

    Attributes:
        name: its id; path: its file; frame: which plane of it, or None.
        state: 'waiting' to be predicted, 'ready' or 'failed'; failure: why.
        warnings: sentences; size: (H, W), None where not known.
        cells: how many were found; confluence: share covered, 0 to 1.
        expected_error: see `expected_error`.
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
        """What names it in routes."""
        return key_of(self.name)


@dataclass(frozen=True)
class Start:
    """The cells of an image before anybody corrected them here.

    Attributes:
        labels: numbers of cells [H, W]; cells: attributes by number.
        reviewed: bool[H, W]; before: SHA-256 of the run's label image, "" where there is none.
    """

    labels: NDArray[Any]
    cells: Mapping[int, Cell]
    reviewed: NDArray[np.bool_]
    before: str = ""

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Start:
        """No cells."""
        return cls(np.zeros(size, np.uint16), {}, np.zeros(size, bool))


@dataclass
class Workspace(ABC):
    """What the folder is.

    Attributes:
        folder: what the user named; notices: sentences to be shown once.
    """

    folder: Path
    notices: list[str] = field(default_factory=list, init=False)

    kind: Kind = field(default="run", init=False)

    @property
    def run_folder(self) -> Path | None:
        """Where the run lies, None where there is none."""
        return None

    @property
    def corrections_folder(self) -> Path:
        """Where corrected cells lie."""
        top = self.folder if self.folder.is_dir() else self.folder.parent
        return (self.run_folder or top) / CORRECTIONS

    @property
    def reading(self) -> dict[str, Any]:
        """How images are opened, for who reads the corrections."""
        return {}

    @property
    @abstractmethod
    def type_names(self) -> tuple[str, ...]:
        """The cell types that are known."""

    @abstractmethod
    def images(self) -> dict[str, KnownImage]:
        """All images by their ids, in the order of their names."""

    @abstractmethod
    def open(self, image: KnownImage) -> ShownImage:
        """An image, to be shown.

        Raises:
            ImageError: it is gone or cannot be read.
        """

    @abstractmethod
    def start(self, image: KnownImage) -> Start:
        """The cells of an image before anybody corrected them here.

        Raises:
            InputError: they are not there, damaged, or of another size than the image.
        """

    def counted(self, image: KnownImage) -> KnownImage:
        """An image with its cells counted, where that takes to read them.

        Raises:
            InputError: they cannot be read.
        """
        return image

    def candidates(self, image: KnownImage) -> Candidates | None:  # noqa: ARG002 - of runs alone
        """Everything that the model saw in an image, None where nothing is stored."""
        return None

    def preview(self, image: KnownImage, settings: Settings) -> Instances | None:  # noqa: ARG002
        """The cells that other settings would select, None where that cannot be told."""
        return None

    @property
    def model(self) -> str:
        """Name or file of the model that found the cells, "" where that is not known."""
        return ""

    @property
    def settings(self) -> Settings:
        """The sliders' values that the cells were selected with."""
        return Settings()

    @property
    def cannot_apply(self) -> str:
        """Why other settings cannot be applied, one sentence, or ""."""
        return "these cells were not predicted, so there are no thresholds to change"

    def why_read_only(self) -> str:
        """Why nothing can be written, one sentence, or ""."""
        place = self.corrections_folder
        while not place.exists():
            place = place.parent
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            return ""
        return f"{place} cannot be written: you can look, but nothing that you change is kept"


def key_of(name: str) -> str:
    """Sixteen letters and digits for an image's id."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def start_of(
    cells: NumberedCells, origin: Origin, *, reviewed: NDArray[np.bool_] | None = None,
    before: str = "",
) -> Start:  # fmt: skip
    """Cells as they are, each of one origin; one whose score is not known was changed by a person.

    Args:
        reviewed: bool[H, W] (default: nothing).
    """
    found = cells.instances
    labels = numbered_map(cells)
    there = counts_of(labels)
    scores = [None] * len(found) if found.score is None else found.score.tolist()
    known: dict[int, Cell] = {}
    for number, kind, score in zip(cells.numbers.tolist(), found.cell_type.tolist(), scores,
                                   strict=True):  # fmt: skip
        if number not in there:  # others cover all of it
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
    """The name of a cell type as it crosses the wire."""
    return printable(text)[:LONGEST_TYPE]


def numbered_map(cells: NumberedCells) -> NDArray[Any]:
    """uint16 or uint32 [H, W]: each cell its own number."""
    labels = compact(cells.instances.label_map())
    if np.array_equal(cells.numbers, np.arange(1, len(cells.numbers) + 1)):
        return labels
    numbers = np.concatenate(([0], cells.numbers))
    kind = np.uint16 if numbers.max() <= LARGEST_UINT16 else np.uint32
    found: NDArray[Any] = numbers.astype(kind)[labels]
    return found


def shown(sources: Mapping[int | None, Any]) -> ShownImage:
    """An image by channel: under None as it was predicted, under 0, 1, 2 its colours, if any."""
    colours = tuple(sources[index] for index in (0, 1, 2) if index in sources)
    return ShownImage(sources[None], colours if len(colours) == 3 else ())
