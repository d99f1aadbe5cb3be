"""A folder of images without a run, to be annotated, or predicted in the background."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import BigKingXXLError, InputError, reason_of
from bigkingxxl.instances import Instances
from bigkingxxl.io.images import ImageFile, find_images
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.path_conflicts import check_path_conflicts
from bigkingxxl.viewer.contract import Settings
from bigkingxxl.viewer.server.pixels import ShownImage
from bigkingxxl.viewer.server.run_workspace import RunWorkspace, is_run_folder, open_shown
from bigkingxxl.viewer.server.workspace import KnownImage, Start, Workspace

RUN = "cells"  # the folder of the run within a folder of images


@dataclass
class FilesWorkspace(Workspace):
    """Image files without cells; a time-lapse becomes many images once it was opened."""

    _planes: dict[str, KnownImage] = field(default_factory=dict, init=False, repr=False)
    _files: dict[str, ImageFile] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self.kind = "annotate"
        self.list_files()

    def list_files(self) -> None:
        """Find the images.

        Raises:
            InputError: There are none.
        """
        found = find_images([self.folder])
        if (left_out := found.sentence()) is not None:
            self.notices.append(left_out)
        self._files = {file.name: file for file in found.files}

    @property
    def chosen(self) -> OpenOptions:
        """How images are opened."""
        return OpenOptions()

    @property
    def reading(self) -> dict[str, Any]:
        """See `Workspace.reading`."""
        return self.chosen.as_json()

    @property
    def type_names(self) -> tuple[str, ...]:
        """The cell types; none are known."""
        return ()

    @property
    def unopened(self) -> list[str]:
        """Return the names of files whose number of images is still unknown."""
        with self._lock:
            return list(self._files)

    def expand(self, name: str) -> list[KnownImage]:
        """Open a file to find its images, and return them."""
        with self._lock:
            file = self._files.get(name)
        if file is None:
            return []
        try:
            planes = [
                KnownImage(source.name, file.path, getattr(source, "frame", None), self.untouched,
                           size=source.shape)
                for source in self.chosen.open(file.path, file.name)
            ]  # fmt: skip
        except (BigKingXXLError, OSError, MemoryError) as error:
            reason = reason_of(error, file.path)
            planes = [KnownImage(name, file.path, None, "failed", reason)]
        with self._lock:
            self._files.pop(name, None)
            self._planes.update((plane.name, plane) for plane in planes)
        return planes

    @property
    def untouched(self) -> Any:
        """The state of an image of which nothing is known."""
        return "ready"

    def images(self) -> dict[str, KnownImage]:
        """Return all images; a file that was not opened yet counts as one."""
        with self._lock:
            found = dict(self._planes)
            for name, file in self._files.items():
                found[name] = KnownImage(name, file.path, None, self.untouched)
        return dict(sorted(found.items()))

    def open(self, image: KnownImage) -> ShownImage:
        """See `Workspace.open`."""
        return open_shown(self.chosen, image.path, image.name)

    def start(self, image: KnownImage) -> Start:
        """Return no cells."""
        return Start.empty(self.open(image).size)


@dataclass
class ImagesWorkspace(FilesWorkspace):
    """A folder of images whose cells are predicted in the background.

    The run is in `cells/`, as written by `bigkingxxl predict FOLDER --out FOLDER/cells`.

    Attributes:
        done: The run so far; None before it exists.
    """

    done: RunWorkspace | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kind = "images"
        self._check_path_conflicts()
        if is_run_folder(self.cells_folder):
            self.reload()

    def _check_path_conflicts(self) -> None:
        """Refuse images in the folder of the run.

        Raises:
            InputError: An image lies there.
        """
        try:
            check_path_conflicts([file.path for file in self._files.values()], self.cells_folder)
        except InputError as error:
            raise InputError(
                f"the image {error.found} is in {self.cells_folder}, where `bigkingxxl view` "
                f"keeps its results: rename that folder, or open it separately with "
                f"`bigkingxxl view {self.cells_folder}`",
                file=self.cells_folder,
                found=error.found,
            ) from error

    @property
    def cells_folder(self) -> Path:
        """The folder of the run."""
        return self.folder / RUN

    def reload(self) -> None:
        """Read the results of the run again."""
        self.done = RunWorkspace(self.cells_folder)

    def refresh(self, name: str) -> None:
        """Read the results of one image again."""
        if self.done is None:
            self.reload()
        else:
            self.done.refresh(name)

    @property
    def run_folder(self) -> Path | None:
        """See `Workspace.run_folder`."""
        return self.cells_folder

    @property
    def untouched(self) -> Any:
        """The state of an image that waits to be predicted."""
        return "waiting"

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types of the run."""
        return () if self.done is None else self.done.type_names

    def images(self) -> dict[str, KnownImage]:
        """Return the predicted images and those that are waiting."""
        waiting = super().images()
        done = {} if self.done is None else self.done.images()
        there = {image.path.absolute() for image in waiting.values()}
        paths = {image.path.absolute() for image in done.values()}
        found = {
            name: image for name, image in waiting.items()
            if name in self._planes or image.path.absolute() not in paths
        }  # fmt: skip
        for name, image in done.items():
            if image.path.absolute() in there:
                size = found[name].size if name in found else None
                found[name] = replace(image, size=size)
        return dict(sorted(found.items()))

    def _run_of(self, image: KnownImage) -> RunWorkspace | None:
        return self.done if self.done is not None and image.name in self.done.run else None

    def start(self, image: KnownImage) -> Start:
        """See `Workspace.start`."""
        run = self._run_of(image)
        return super().start(image) if run is None else run.start(image)

    def candidates(self, image: KnownImage) -> Candidates | None:
        """See `Workspace.candidates`."""
        run = self._run_of(image)
        return None if run is None else run.candidates(image)

    def preview(self, image: KnownImage, settings: Settings) -> Instances | None:
        """See `Workspace.preview`."""
        run = self._run_of(image)
        return None if run is None else run.preview(image, settings)

    @property
    def model(self) -> str:
        """See `Workspace.model`."""
        return "" if self.done is None else self.done.model

    @property
    def settings(self) -> Settings:
        """See `Workspace.settings`."""
        return Settings() if self.done is None else self.done.settings

    @property
    def cannot_apply(self) -> str:
        """See `Workspace.cannot_apply`."""
        if self.done is None:
            return "no image has been predicted yet"
        return self.done.cannot_apply
