"""The result of a run for one image: its cells and measurements, read on demand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, ImageError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.run_cells import NumberedCells, load_cells, load_cells_of_blocks
from bigkingxxl.runs.corrected import Correction, correction_of, place_of_correction
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.records import Record
from bigkingxxl.runs.store import (
    CANDIDATES,
    CELLS,
    RunSettings,
    RunStore,
)

if TYPE_CHECKING:
    from bigkingxxl.io.tables.measurements import Table
    from bigkingxxl.io.tables.summary import ImageSummary


@dataclass(frozen=True)
class ImageResult:
    """The result of a run for one image; everything is read on demand.

    Attributes:
        name: The id of the image.
        path: Its file.
        frame: The plane of the file, or None.
        warnings: Sentences on the image.
        failure: Why there are no cells, or "".
    """

    store: RunStore
    settings: RunSettings
    record: Record

    def __repr__(self) -> str:
        return f"ImageResult({self.name!r} of {str(self.path)!r})"

    @property
    def name(self) -> str:
        """The id of the image."""
        return self.record.image

    @property
    def path(self) -> Path:
        """The file of the image."""
        return self.record.file

    @property
    def frame(self) -> int | None:
        """The plane of the file, counted from 0; None for a single image."""
        return self.record.frame

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a user should read."""
        return self.record.warnings

    @property
    def failure(self) -> str:
        """Why there are no cells, or ""."""
        return self.record.failure

    @property
    def summary(self) -> ImageSummary:
        """Compute the row of `summary.csv` for the current cells.

        Raises:
            InputError: Corrected cells do not exist.
            FormatError: Corrected cells are damaged.
        """
        from bigkingxxl.io.tables.summary import summarise

        row = self.recorded_summary
        if self.failure or self.is_measured:
            return row
        return summarise(
            self.name, self.cells, model=row.model, corrected=self.corrected, scale=row.scale,
            diameter=row.diameter, warnings=row.warnings,
        )  # fmt: skip

    @property
    def recorded_summary(self) -> ImageSummary:
        """Return the row of `summary.csv` as last written; see `is_measured`."""
        from bigkingxxl.io.tables.summary import ImageSummary

        if self.failure:
            return ImageSummary(self.name, failure=self.failure)
        row = dict(self.record.details["row"])
        return ImageSummary(**{**row, "warnings": tuple(row["warnings"])})

    @cached_property
    def correction(self) -> Correction | None:
        """Return the correction of the cells, or None.

        Raises:
            FormatError: It is damaged, or the cells were corrected in two places.
        """
        return correction_of(self.store, self.name)

    @property
    def corrected(self) -> str:
        """The folder of the run that contains corrected cells, or ""."""
        return place_of_correction(self.correction)

    @property
    def is_measured(self) -> bool:
        """Whether the tables contain the current cells."""
        correction, run = self.correction, self._found_by
        identity = run if correction is None else correction.identity(run)
        return bool(self.record.details.get("identity") == identity)

    @property
    def _found_by(self) -> str:
        """Return the fingerprint of the run that predicted the cells, maybe an earlier one."""
        return str(self.record.details.get("cells_of", self.settings.run))

    @cached_property
    def numbered_cells(self) -> NumberedCells:
        """Return the current cells with their numbers, including all corrections.

        Raises:
            InputError: They do not exist.
            FormatError: They are damaged.
        """
        return self._as_left(self.correction)

    @cached_property
    def predicted_cells(self) -> NumberedCells:
        """Return the cells without the corrections of the viewer, but with those of changed files.

        Raises:
            InputError: They do not exist.
            FormatError: They are damaged.
        """
        correction = self.correction
        is_viewed = correction is not None and correction.viewed is not None
        return self._as_left(None if is_viewed else correction)

    def _as_left(self, correction: Correction | None) -> NumberedCells:
        if correction is None:
            return NumberedCells.of(self.found_cells)
        self._check()
        return correction.cells(lambda: self.found_cells)

    @cached_property
    def found_cells(self) -> Instances:
        """Return the predicted cells without any correction.

        Raises:
            InputError: They do not exist.
            FormatError: They are damaged.
        """
        self._check()
        return self._cells_of_blocks() if self.is_large else load_cells(
            self.store.place(CELLS, self.name)
        )  # fmt: skip

    @property
    def cells(self) -> Instances:
        """Return the current cells, including all corrections."""
        return self.numbered_cells.instances

    def label_map(self) -> NDArray[np.int32]:
        """Return the label map, int32[H, W]: 0 is background, each cell has its number."""
        cells = self.numbered_cells
        numbers = np.concatenate(([0], cells.numbers)).astype(np.int32)
        labels: NDArray[np.int32] = numbers[cells.instances.label_map()]
        return labels

    @property
    def is_large(self) -> bool:
        """Whether the image was processed in blocks; its label map may not fit into memory."""
        return bool(self.record.details.get("in_blocks"))

    def _cells_of_blocks(self) -> Instances:
        cells = load_cells_of_blocks(self.store.blocks(self.name), self._found_by)
        details = self.record.details
        if len(cells) != details.get("found", details["row"]["cells"]):
            raise FormatError(
                f"some cells of '{self.name}' are gone: predict it again", key=self.name
            )
        return cells

    @property
    def candidates(self) -> Candidates:
        """Read all candidates of the image.

        Raises:
            InputError: They do not exist; those of a large image are stored by block.
            FormatError: They are damaged.
        """
        self._check()
        if self.is_large:
            raise InputError(
                f"the candidates of '{self.name}' are stored per block, because the image is large",
                key=self.name,
            )
        return Candidates.load(self.store.place(CANDIDATES, self.name))

    @property
    def source(self) -> ImageSource:
        """Open the image as the run did.

        Raises:
            ImageError: It does not exist any longer, or cannot be read.
        """
        sources = OpenOptions.of(self.settings.reading).reopen(self.path, [self.name])
        if sources:
            return sources[0]
        raise ImageError(
            f"{self.path} no longer contains the image '{self.name}'", file=self.path, key=self.name
        )

    def measurements(self) -> Table:
        """Measure the cells; see `bigkingxxl.io.tables.measurements`.

        Raises:
            ImageError: The image does not exist any longer.
        """
        from bigkingxxl.io.tables.measurements import measure

        cells = self.numbered_cells
        return {**measure(self.source, cells.instances), "id": cells.numbers}

    def _check(self) -> None:
        if self.failure:
            raise InputError(
                f"the image '{self.name}' failed: {self.failure}", key=self.name, found=self.failure
            )
