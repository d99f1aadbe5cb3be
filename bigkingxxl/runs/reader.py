"""A finished run, or one that is at work, as a program reads it: images, cells, measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, ImageError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.run_cells import NumberedCells, load_cells, load_cells_of_blocks
from bigkingxxl.runs.corrected import Correction, correction_of, place_of_correction
from bigkingxxl.runs.reading import Reading
from bigkingxxl.runs.records import Record
from bigkingxxl.runs.store import (
    CANDIDATES,
    CELLS,
    FAILURE,
    RUN_FILE,
    SUMMARY,
    RunSettings,
    RunStore,
)

if TYPE_CHECKING:
    from bigkingxxl.io.tables.measurements import Table
    from bigkingxxl.io.tables.summary import ImageSummary


@dataclass(frozen=True)
class ImageResult:
    """What a run found in one image; everything is read when it is asked for.

    Attributes:
        name: the image's id; path: its file; frame: which plane of it, or None.
        warnings: sentences on the image; failure: why there are no cells, or "".
    """

    store: RunStore
    settings: RunSettings
    record: Record

    def __repr__(self) -> str:
        return f"ImageResult({self.name!r} of {str(self.path)!r})"

    @property
    def name(self) -> str:
        """The image's id."""
        return self.record.image

    @property
    def path(self) -> Path:
        """The image's file."""
        return self.record.file

    @property
    def frame(self) -> int | None:
        """Which plane of the file it is, counted from 0; None where it is the only one."""
        return self.record.frame

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what the user should know of the image."""
        return self.record.warnings

    @property
    def failure(self) -> str:
        """Why there are no cells, or ""."""
        return self.record.failure

    @property
    def summary(self) -> ImageSummary:
        """The image's row of `summary.csv`, of the cells as they are now.

        Raises:
            InputError, FormatError: corrected cells are not there, or damaged.
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
        """The image's row of `summary.csv` as it was last written; see `is_measured`."""
        from bigkingxxl.io.tables.summary import ImageSummary

        if self.failure:
            return ImageSummary(self.name, failure=self.failure)
        row = dict(self.record.details["row"])
        return ImageSummary(**{**row, "warnings": tuple(row["warnings"])})

    @cached_property
    def correction(self) -> Correction | None:
        """What a person made of the cells, None where nothing.

        Raises:
            FormatError: it is damaged, or the cells were corrected in two places.
        """
        return correction_of(self.store, self.name)

    @property
    def corrected(self) -> str:
        """The folder in the run from which corrected cells are taken, or ""."""
        return place_of_correction(self.correction)

    @property
    def is_measured(self) -> bool:
        """Whether the tables are of the cells as they are now."""
        correction, run = self.correction, self._found_by
        identity = run if correction is None else correction.identity(run)
        return bool(self.record.details.get("identity") == identity)

    @property
    def _found_by(self) -> str:
        """Fingerprint of the run that found the cells, which may be an earlier one."""
        return str(self.record.details.get("cells_of", self.settings.run))

    @cached_property
    def numbered_cells(self) -> NumberedCells:
        """The cells and their numbers, as a person corrected them in the viewer or by hand.

        Raises:
            InputError, FormatError: they are not there, or damaged.
        """
        return self._as_left(self.correction)

    @cached_property
    def predicted_cells(self) -> NumberedCells:
        """The cells without the viewer's corrections; those of a file changed by hand.

        Raises:
            InputError, FormatError: they are not there, or damaged.
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
        """The cells that the model found, whatever a person made of them since.

        Raises:
            InputError, FormatError: they are not there, or damaged.
        """
        self._check()
        return self._cells_of_blocks() if self.is_large else load_cells(
            self.store.place(CELLS, self.name)
        )  # fmt: skip

    @property
    def cells(self) -> Instances:
        """The cells; those of the label image where a person changed it."""
        return self.numbered_cells.instances

    def label_map(self) -> NDArray[np.int32]:
        """int32[H, W]: 0 is background, every cell its number in the label image."""
        cells = self.numbered_cells
        numbers = np.concatenate(([0], cells.numbers)).astype(np.int32)
        labels: NDArray[np.int32] = numbers[cells.instances.label_map()]
        return labels

    @property
    def is_large(self) -> bool:
        """Whether it was worked on block by block; its label image may not fit into memory."""
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
        """Everything that the model saw.

        Raises:
            InputError, FormatError: it is not there, or damaged; those of a large image lie in its
                blocks.
        """
        self._check()
        if self.is_large:
            raise InputError(
                f"the candidates of '{self.name}' lie in its blocks: it is too large", key=self.name
            )
        return Candidates.load(self.store.place(CANDIDATES, self.name))

    @property
    def source(self) -> ImageSource:
        """The image, opened as the run opened it.

        Raises:
            ImageError: it is gone, or cannot be read any more.
        """
        sources = Reading.of(self.settings.reading).reopen(self.path, [self.name])
        if sources:
            return sources[0]
        raise ImageError(
            f"{self.path} no longer holds the image '{self.name}'", file=self.path, key=self.name
        )

    def measurements(self) -> Table:
        """A column of N values for each measurement, see `bigkingxxl.io.tables.measurements`.

        Raises:
            ImageError: the image is gone.
        """
        from bigkingxxl.io.tables.measurements import measure

        cells = self.numbered_cells
        return {**measure(self.source, cells.instances), "id": cells.numbers}

    def _check(self) -> None:
        if self.failure:
            raise InputError(
                f"the image '{self.name}' failed: {self.failure}", key=self.name, found=self.failure
            )


class Run(Mapping[str, ImageResult]):
    """The results of a run by image id, sorted; those of the latest model and settings.

    Attributes:
        folder: where they lie; settings: model, formats and how images are opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._store = RunStore(self.folder)
        settings = self._store.settings()
        if settings is None:
            what = "no run" if self.folder.is_dir() else "no folder"
            raise InputError(
                f"{self.folder} is {what} of `bigkingxxl predict` (looked for {RUN_FILE} in it)",
                file=self.folder,
                expected=RUN_FILE,
            )
        self.settings = settings

    @cached_property
    def _records(self) -> dict[str, Record]:
        found = {
            record.image: record for record in self._store.records(SUMMARY)
            if record.details.get("run") == self.settings.run
        }  # fmt: skip
        found |= {
            record.image: record for record in self._store.records(FAILURE)
            if record.key == self.settings.run
        }  # fmt: skip
        return dict(sorted(found.items()))

    def refresh(self, image_id: str) -> None:
        """See what a run that is at work has made of one image since."""
        failure, summary = (self._store.record(kind, image_id) for kind in (FAILURE, SUMMARY))
        if failure is not None and failure.key == self.settings.run:
            self._records[image_id] = failure
        elif summary is not None and summary.details.get("run") == self.settings.run:
            self._records[image_id] = summary

    def __getitem__(self, image_id: str) -> ImageResult:
        if image_id not in self._records:
            example = f", such as {next(iter(self))!r}" if self else ""
            raise KeyError(
                f"{self.folder} has no image {image_id!r}, but {len(self)} others{example}"
            )
        return ImageResult(self._store, self.settings, self._records[image_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {len(self)} images)"

    @property
    def images(self) -> tuple[str, ...]:
        """The ids of all images, also of those that failed."""
        return tuple(self)

    @property
    def failed(self) -> dict[str, str]:
        """Why, by the id of each image that failed."""
        return {name: each.failure for name, each in self._records.items() if each.failure}

    def measurements(self) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
        """The measurements of each image that has cells' records, one image after the other."""
        for name, image in self.items():
            if not image.failure:
                yield name, image.measurements()


def open_run(folder: str | Path) -> Run:
    """Open the folder that `bigkingxxl predict --out` wrote.

    Nothing is read before it is asked for; a run that is at work is seen as it was when the images
    were first asked for.

    Raises:
        InputError: the folder holds no run.
    """
    return Run(Path(folder))
