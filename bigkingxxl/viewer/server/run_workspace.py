"""The folder of a `bigkingxxl predict` run as a workspace."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.corrected import before_of
from bigkingxxl.runs.image_result import ImageResult
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.reader import Run, open_run
from bigkingxxl.runs.selection import Selection
from bigkingxxl.runs.store import CANDIDATES, RUN_FILE, RunSettings, RunStore
from bigkingxxl.viewer.contract import Settings
from bigkingxxl.viewer.server.expected_error import expected_error
from bigkingxxl.viewer.server.pixels import ShownImage
from bigkingxxl.viewer.server.workspace import KnownImage, Start, Workspace, shown, start_of


def is_run_folder(folder: Path) -> bool:
    """Return whether a folder contains a run of any version."""
    return (folder / RUN_FILE).is_file()


@dataclass
class RunWorkspace(Workspace):
    """A run: its images, cells and stored candidates."""

    def __post_init__(self) -> None:
        self.kind = "run"
        self.reload()

    def reload(self) -> None:
        """Read the records of the run again."""
        _check_version(self.folder)
        self.run: Run = open_run(self.folder)
        self.store = RunStore(self.folder)

    def refresh(self, name: str) -> None:
        """Read the records of one image again."""
        self.run.refresh(name)

    @property
    def run_folder(self) -> Path | None:
        """The folder itself."""
        return self.folder

    @property
    def run_settings(self) -> RunSettings:
        """The settings of the latest run."""
        return self.run.settings

    @property
    def reading(self) -> dict[str, Any]:
        """Return how the run opened its images."""
        return dict(self.run_settings.reading)

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types that the summaries of images contain."""
        names: dict[str, None] = {}
        for image in self.run.values():
            names.update(dict.fromkeys(image.recorded_summary.by_type))
        return tuple(names)

    def images(self) -> dict[str, KnownImage]:
        """Return the images of the run, including those that failed."""
        return {name: _known(image) for name, image in self.run.items()}

    def open(self, image: KnownImage) -> ShownImage:
        """See `Workspace.open`."""
        return open_shown(OpenOptions.of(self.run_settings.reading), image.path, image.name)

    def start(self, image: KnownImage) -> Start:
        """Return the initial cells, including those of files changed by hand."""
        result = self._result(image)
        return start_of(result.predicted_cells, "model", before=before_of(self.store, image.name))

    def candidates(self, image: KnownImage) -> Candidates | None:
        """See `Workspace.candidates`."""
        if not self.store.place(CANDIDATES, image.name).is_file():
            return None
        return self._result(image).candidates

    def source(self, image: KnownImage) -> ImageSource:
        """Open an image as the run did.

        Raises:
            InputError: It does not exist any longer or cannot be read.
        """
        return self._result(image).source

    def _result(self, image: KnownImage) -> ImageResult:
        try:
            return self.run[image.name]
        except KeyError as error:
            raise InputError(
                f"the run has no image '{image.name}' any more", key=image.name
            ) from error

    # ---- other thresholds -----------------------------------------------------------------------

    @cached_property
    def points(self) -> OperatingPoints | None:
        """The operating points of the run; None if it does not store them."""
        values = self.run_settings.selection.get("points")
        if values is None:
            return None
        try:
            return OperatingPoints.model_validate(values)
        except ValueError as error:
            raise FormatError(
                f"{self.folder / RUN_FILE}: its thresholds are damaged ({error})",
                file=self.folder / RUN_FILE,
            ) from error

    @property
    def model(self) -> str:
        """Return the model of the run; of several, the first."""
        names = self.run_settings.selection.get("models") or [""]
        return str(names[0])

    @property
    def settings(self) -> Settings:
        """See `Workspace.settings`."""
        chosen = self.run_settings.selection
        return Settings(min_score=chosen.get("min_score"), min_area=chosen.get("min_area"))

    @property
    def cannot_apply(self) -> str:
        """See `Workspace.cannot_apply`."""
        if self.points is None:
            return (
                "this run was made by an older version, which did not store its thresholds: run "
                "`bigkingxxl predict` into this folder again, which takes seconds"
            )
        return ""

    def selection(self, settings: Settings) -> Selection:
        """Return the selection with other slider values.

        Raises:
            InputError: The run does not store its selection.
        """
        if self.points is None:
            raise InputError(self.cannot_apply)
        chosen = self.run_settings.selection
        return Selection(
            self.points, chosen.get("cell_type"), settings.min_score, settings.min_area,
            bool(chosen.get("exclude_border")), bool(chosen.get("keep_blurred")),
        )  # fmt: skip

    def preview(self, image: KnownImage, settings: Settings) -> Instances | None:
        """See `Workspace.preview`."""
        candidates = self.candidates(image)
        if candidates is None or self.points is None:
            return None
        return self.selection(settings).cells_of(self.source(image), candidates)[0]


def _known(image: ImageResult) -> KnownImage:
    known = KnownImage(image.name, image.path, image.frame, warnings=image.warnings)
    if image.failure:
        return replace(known, state="failed", failure=image.failure)
    row = image.record.details["row"]
    confluence = row.get("confluence_percent")
    return replace(
        known, cells=row["cells"], expected_error=expected_error(row),
        confluence=None if confluence is None else confluence / 100,
    )  # fmt: skip


def open_shown(reading: OpenOptions, path: Path, image_id: str) -> ShownImage:
    """Open an image with its colour channels.

    Raises:
        ImageError: It does not exist any longer or cannot be read.
    """
    from bigkingxxl.errors import ImageError

    def opened(channel: int | None) -> Any:
        found = replace(reading, channel=channel).reopen(path, [image_id])
        if not found:
            raise ImageError(
                f"{path} no longer contains the image '{image_id}'", file=path, key=image_id
            )
        return found[0]

    source = opened(reading.channel)
    sources: dict[int | None, Any] = {None: source}
    if getattr(source, "is_colour", False):
        sources |= {channel: opened(channel) for channel in (0, 1, 2)}
    elif reading.channel is not None:
        sources[None] = opened(None)
    return shown(sources)


def _check_version(folder: Path) -> None:
    """Refuse a run that this version cannot read.

    Raises:
        InputError: `run.json` is damaged or was written by a newer version.
    """
    path = folder / RUN_FILE
    if not path.is_file() or RunStore(folder).settings() is not None:
        return
    from bigkingxxl.provenance import own_version

    try:
        found = json.loads(path.read_bytes()).get("version", "")
    except (OSError, ValueError, AttributeError, RecursionError):
        found = ""
    if found and found != own_version():
        raise InputError(
            f"{path} was written by version {found} of bigkingxxl, which this version "
            f"({own_version()}) cannot read: install the newer version",
            file=path,
            key="version",
            found=found,
            expected=own_version(),
        )
    raise InputError(f"{path} is damaged, or was not written by `bigkingxxl predict`", file=path)
