"""An annotated data set of any layout as a workspace, with its annotated cells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.instances import NO_TYPE, UNTYPED
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.io.images.image_files import open_image
from bigkingxxl.viewer.server.pixels import ShownImage
from bigkingxxl.viewer.server.workspace import KnownImage, Start, Workspace, shown, start_of


@dataclass
class DatasetWorkspace(Workspace):
    """Images with annotations, and images without any yet."""

    dataset: Dataset = field(init=False)

    def __post_init__(self) -> None:
        self.kind = "dataset"
        self.dataset = open_dataset(self.folder)
        self.notices += [*self.dataset.skipped, *self.dataset.notes]
        self._bare = _bare(self.dataset)

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types of the data set, if it has any."""
        return tuple(name for name in self.dataset.type_names if name not in (NO_TYPE, UNTYPED))

    @property
    def reading(self) -> dict[str, Any]:
        """Return how data sets open images."""
        return {}

    def images(self) -> dict[str, KnownImage]:
        """Return the images with and without annotations."""
        found = {name: KnownImage(name, self.dataset.paths[name]) for name in self.dataset.ids}
        found |= {name: KnownImage(name, path) for name, path in self._bare.items()}
        return dict(sorted(found.items()))

    def open(self, image: KnownImage) -> ShownImage:
        """See `Workspace.open`."""
        if image.name in self._bare:
            source = open_image(image.path)
        else:
            source = self.dataset.source(image.name)
        sources: dict[int | None, Any] = {None: source}
        if getattr(source, "is_colour", False) and getattr(source, "frame", None) is None:
            sources |= {index: open_image(image.path, channel=index) for index in (0, 1, 2)}
        return shown(sources)

    def counted(self, image: KnownImage) -> KnownImage:
        """See `Workspace.counted`."""
        if image.name in self._bare:
            return replace(image, cells=0, confluence=0.0)
        cells = self.dataset.instances(image.name)
        covered = int(cells.areas().sum()) / max(cells.size[0] * cells.size[1], 1)
        return replace(image, size=cells.size, cells=len(cells), confluence=min(covered, 1.0))

    def start(self, image: KnownImage) -> Start:
        """See `Workspace.start`."""
        if image.name in self._bare:
            return Start.empty(self.open(image).size)
        cells = self.dataset.instances(image.name)
        if set(cells.type_names) == {UNTYPED}:  # the type name of layouts without types
            cells = replace(cells, type_names=(NO_TYPE,))
        ignored = self.dataset.ignored(image.name)
        reviewed = np.ones(cells.size, bool) if ignored is None else ~ignored
        return start_of(NumberedCells.of(replace(cells, score=None)), "drawn", reviewed=reviewed)


def _bare(dataset: Dataset) -> dict[str, Path]:
    """Return the images without annotations, with names that no annotated image has."""
    top = dataset.root if dataset.root.is_dir() else dataset.root.parent
    found: dict[str, Path] = {}
    for path in dataset.unlabelled:
        try:
            name = path.relative_to(top).with_suffix("").as_posix()
        except ValueError:
            name = path.stem
        if name in dataset.paths or name in found:
            name = f"{name}{path.suffix}"
        found[name] = path
    return found
