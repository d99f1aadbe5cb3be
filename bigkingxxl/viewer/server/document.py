"""The current cells of one image in memory: accepts edits that fit, refuses others.

The raster and the attributes always agree: exactly the numbers in the raster have attributes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.io.annotations.corrections import CellNote
from bigkingxxl.io.annotations.label_tiles import LARGEST_UINT16
from bigkingxxl.viewer.contract import LARGEST_CELL, Cell, Edit

Labels = NDArray[Any]  # uint16 or uint32 [H, W]
COLUMNS = 4  # place, length, old, new


class UnfitError(Exception):
    """An edit violates the rules, at any revision."""


class StaleError(Exception):
    """An edit does not match the current state: the page must reload the image."""


@dataclass(frozen=True)
class Answered:
    """The last edit of a window: its number, its digest, and the revision after it."""

    seq: int
    digest: str
    revision: int


@dataclass
class Document:
    """The cells of one image.

    Attributes:
        labels: The raster of numbers.
        cells: The attributes by number.
        reviewed: bool[H, W], the reviewed pixels.
        done: 'image done'.
        revision: The number of edits.
        next_cell: A number that no cell has or had.
        counts: The number of pixels by cell number.
        windows: The last edit of each window.
        last_window: The window of the last edit.
    """

    labels: Labels
    cells: dict[int, Cell]
    reviewed: NDArray[np.bool_]
    done: bool = False
    revision: int = 0
    next_cell: int = 1
    windows: dict[str, Answered] = field(default_factory=dict)
    last_window: str = ""
    counts: dict[int, int] = field(init=False)
    reviewed_pixels: int = field(init=False)

    def __post_init__(self) -> None:
        self.labels = compact(self.labels)
        self.counts = counts_of(self.labels)
        self.reviewed_pixels = int(np.count_nonzero(self.reviewed))
        self.next_cell = max(self.next_cell, max(self.counts, default=0) + 1)
        if self.counts.keys() != self.cells.keys():
            raise ValueError("the numbers of cells are not those of the raster")

    @property
    def size(self) -> tuple[int, int]:
        """The (H, W) of the image."""
        return int(self.labels.shape[0]), int(self.labels.shape[1])

    @property
    def reviewed_share(self) -> float:
        """The fraction of reviewed pixels; 1 if the image is done."""
        return 1.0 if self.done else self.reviewed_pixels / max(self.reviewed.size, 1)

    @property
    def confluence(self) -> float:
        """The fraction of pixels that cells cover."""
        return sum(self.counts.values()) / max(self.labels.size, 1)

    # ---- edits ----------------------------------------------------------------------------------

    def answered(self, edit: Edit) -> int | None:
        """Return the revision after an edit that was sent before; None for a new one.

        Raises:
            StaleError: The window's edits are not consecutive.
        """
        last = self.windows.get(edit.window)
        if last is not None and last.seq == edit.seq and last.digest == digest_of(edit):
            return last.revision
        expected = 1 if last is None else last.seq + 1
        if edit.seq != expected:
            raise StaleError(
                f"edit {edit.seq} of this window does not follow edit {expected - 1}: load the "
                "image again"
            )
        return None

    def check(self, edit: Edit) -> None:
        """Check an edit without applying it.

        Raises:
            StaleError: It is for another revision, or its old values differ from the current ones.
            UnfitError: It violates the rules.
        """
        if edit.revision != self.revision:
            raise StaleError(
                "another window changed this image"
                if edit.revision < self.revision
                else "the page has changes that are not on disk: load the image again"
            )
        runs = runs_of(edit.runs, self.size, LARGEST_CELL)
        reviewed = runs_of(edit.reviewed, self.size, 1)
        if not (len(runs) or len(reviewed) or edit.cells or edit.done is not None):
            raise UnfitError("the edit changes nothing")
        self._check_old(self.labels, runs, "pixels")
        self._check_old(self.reviewed, reviewed, "the reviewed region")
        if edit.done is not None and edit.done.before != self.done:
            raise StaleError(
                "the page has another state of 'done' for this image: load the image again"
            )
        self._check_cells(edit, runs)

    def _check_old(self, raster: NDArray[Any], runs: NDArray[np.int64], what: str) -> None:
        flat = raster.reshape(-1)
        for block, _ in rle.blocks(runs[:, 1]):
            part = runs[block]
            places = rle.expand(part[:, 0], part[:, 1])
            if (flat[places] != np.repeat(part[:, 2], part[:, 1])).any():
                raise StaleError(
                    f"{what} that the edit changes differ from those of the page: load the image "
                    "again"
                )

    def _check_cells(self, edit: Edit, runs: NDArray[np.int64]) -> None:
        changed: dict[int, Cell | None] = {}
        for change in edit.cells:
            if change.id in changed:
                raise UnfitError(f"the edit changes cell {change.id} twice")
            if change.before != self.cells.get(change.id):
                raise StaleError(
                    f"cell {change.id} differs from that of the page: load the image again"
                )
            changed[change.id] = change.after
        gained = gained_pixels(runs)
        for number in {*gained, *changed}:
            has_pixels = self.counts.get(number, 0) + gained.get(number, 0) > 0
            after = changed[number] if number in changed else self.cells.get(number)
            if has_pixels and after is None:
                raise UnfitError(f"cell {number} has pixels but no attributes after the edit")
            if not has_pixels and after is not None:
                raise UnfitError(f"cell {number} has attributes but no pixels after the edit")

    def apply(self, edit: Edit) -> None:
        """Apply an edit that passed `check`."""
        runs = runs_of(edit.runs, self.size, LARGEST_CELL)
        reviewed = runs_of(edit.reviewed, self.size, 1)
        if len(runs) and int(runs[:, 3].max()) > LARGEST_UINT16 and self.labels.itemsize == 2:
            self.labels = self.labels.astype(np.uint32)
        _paint(self.labels, runs)
        _paint(self.reviewed, reviewed)
        for number, gained in gained_pixels(runs).items():
            self.counts[number] = self.counts.get(number, 0) + gained
            if self.counts[number] == 0:
                del self.counts[number]
            self.next_cell = max(self.next_cell, number + 1)
        for change in edit.cells:
            if change.after is None:
                self.cells.pop(change.id, None)
            else:
                self.cells[change.id] = change.after
        self.reviewed_pixels += int(((reviewed[:, 3] - reviewed[:, 2]) * reviewed[:, 1]).sum())
        if edit.done is not None:
            self.done = edit.done.after
        self.revision += 1
        self.last_window = edit.window
        self.windows[edit.window] = Answered(edit.seq, digest_of(edit), self.revision)


def runs_of(numbers: tuple[int, ...], size: tuple[int, int], highest: int) -> NDArray[np.int64]:
    """Convert the runs of an edit to place, length, old and new, int64[R, 4].

    Raises:
        UnfitError: They are not groups of four, not within the rows of the image, not ascending and
            disjoint, or change nothing.
    """
    if len(numbers) % COLUMNS:
        raise UnfitError(f"the runs have {len(numbers)} numbers, expected a multiple of four")
    if max(numbers, default=0) > LARGEST_CELL * 4:
        raise UnfitError("a run contains a number that is too large")
    runs = np.array(numbers, np.int64).reshape(-1, COLUMNS)
    place, length, old, new = runs.T
    width = max(size[1], 1)
    if (length < 1).any():
        raise UnfitError("a run has no pixels")
    if (place + length > size[0] * size[1]).any() or (place % width + length > width).any():
        raise UnfitError("a run leaves its row or the image")
    if (place[1:] < (place + length)[:-1]).any():
        raise UnfitError("the runs are not ascending and disjoint")
    if (old == new).any():
        raise UnfitError("a run changes nothing")
    if (np.maximum(old, new) > highest).any():
        raise UnfitError(f"a run contains a number above {highest}")
    return runs


def gained_pixels(runs: NDArray[np.int64]) -> dict[int, int]:
    """Return how many pixels each cell gains (or loses, if negative), without the background."""
    numbers = np.concatenate((runs[:, 2], runs[:, 3]))
    pixels = np.concatenate((-runs[:, 1], runs[:, 1]))
    found, inverse = np.unique(numbers, return_inverse=True)
    gained = np.zeros(len(found), np.int64)
    np.add.at(gained, inverse, pixels)
    return {
        number: count
        for number, count in zip(found.tolist(), gained.tolist(), strict=True)
        if number
    }


def _paint(raster: NDArray[Any], runs: NDArray[np.int64]) -> None:
    flat = raster.reshape(-1)
    for block, _ in rle.blocks(runs[:, 1]):
        part = runs[block]
        places = rle.expand(part[:, 0], part[:, 1])
        flat[places] = np.repeat(part[:, 3], part[:, 1])


def compact(labels: NDArray[Any]) -> Labels:
    """Convert a raster to uint16 if all numbers fit, else to uint32; always a contiguous copy."""
    is_small = labels.dtype == np.uint16 or int(labels.max(initial=0)) <= LARGEST_UINT16
    return np.array(labels, np.uint16 if is_small else np.uint32, order="C")


def counts_of(labels: Labels) -> dict[int, int]:
    """Count the pixels of each cell by its number."""
    if labels.size == 0:
        return {}
    highest = int(labels.max())
    if highest <= 4 * labels.size:
        counts = np.zeros(highest + 1, np.int64)
        for band in np.array_split(labels, max(1, labels.size >> 22)):
            counts += np.bincount(band.reshape(-1), minlength=highest + 1)
        numbers = np.flatnonzero(counts)
        pixels = counts[numbers]
    else:
        numbers, pixels = np.unique(labels, return_counts=True)
    found = dict(zip(numbers.tolist(), pixels.tolist(), strict=True))
    found.pop(0, None)
    return found


def digest_of(edit: Edit) -> str:
    """Return a hash that identifies an edit."""
    return hashlib.sha256(edit.model_dump_json().encode()).hexdigest()[:16]


def notes_of(cells: Mapping[int, Cell]) -> dict[int, CellNote]:
    """Convert attributes to their stored form."""
    return {number: CellNote(cell.origin, cell.type, cell.score) for number, cell in cells.items()}


def cells_as_json(cells: Mapping[int, Cell]) -> list[list[Any]]:
    """Convert attributes to rows of number, origin, type and score."""
    return [[number, cell.origin, cell.type, cell.score] for number, cell in sorted(cells.items())]


def cells_of_json(rows: list[list[Any]]) -> dict[int, Cell]:
    """Undo `cells_as_json`."""
    return {
        int(number): Cell(origin=origin, type=kind, score=score)
        for number, origin, kind, score in rows
    }
