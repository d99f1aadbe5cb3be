"""Read a run that is finished or in progress: images, cells and measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.runs.image_result import ImageResult
from bigkingxxl.runs.records import Record
from bigkingxxl.runs.store import (
    FAILURE,
    RUN_FILE,
    SUMMARY,
    RunStore,
)


class Run(Mapping[str, ImageResult]):
    """The results of a run by image id, sorted; those of the latest model and settings.

    Attributes:
        folder: The folder of the run.
        settings: The model, the formats and how images are opened.
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
        """Read the results of one image again, while the run is in progress."""
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
        """The ids of all images, including those that failed."""
        return tuple(self)

    @property
    def failed(self) -> dict[str, str]:
        """The reason for each failed image, by its id."""
        return {name: each.failure for name, each in self._records.items() if each.failure}

    def measurements(self) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
        """Yield the measurements of each image with cells, one image after the other."""
        for name, image in self.items():
            if not image.failure:
                yield name, image.measurements()


def open_run(folder: str | Path) -> Run:
    """Open the folder of a `bigkingxxl predict` run.

    Everything is read on demand. A run in progress is read as it is when the images are first
    accessed.

    Raises:
        InputError: The folder contains no run.
    """
    return Run(Path(folder))
