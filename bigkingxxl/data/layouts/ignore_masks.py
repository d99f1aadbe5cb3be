"""Files that mark the pixels of an image that are not annotated, for data sets of any layout.

See `io.annotations.ignore_masks` for their content: `x_ignore.png` or `x_reviewed.geojson` beside
an image, or a file with the name of the image in `ignore/` or `reviewed/` in the folder of the
data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bigkingxxl.data.base import Dataset, Ignored
from bigkingxxl.data.layouts.tree import files_below, files_in, inner_name, stem_of
from bigkingxxl.io.annotations.ignore_masks import (
    IGNORE,
    REVIEWED,
    ignore_mask_kind,
    joined,
    read_ignore_mask,
)
from bigkingxxl.io.images.image_files import read_header

IgnoreMask = tuple[Path, str]


@dataclass(frozen=True, eq=False)
class ImagesWithIgnoreMasks:
    """Reads which pixels are not annotated, from the data set and from files beside it."""

    dataset: Dataset
    marks: Mapping[str, tuple[IgnoreMask, ...]]

    def ignored(self, image_id: str) -> Ignored | None:
        """Return the mask bool[H, W]; None if everything is annotated."""
        own = self.dataset.read_ignored(image_id)
        marks = self.marks.get(image_id)
        if marks is None:
            return own
        size = read_header(self.dataset.image_path(image_id)).shape
        return joined([own, *(read_ignore_mask(path, kind, size) for path, kind in marks)])


def with_ignore_masks(dataset: Dataset) -> Dataset:
    """Return the data set with the marks of files beside it; a note names unused ones."""
    marks, lost = find_ignore_masks(dataset)
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        note = f"{lost[0]}{more} is not used: no annotated image has its name"
        dataset = replace(dataset, notes=(*dataset.notes, note))
    return (
        replace(dataset, read_ignored=ImagesWithIgnoreMasks(dataset, marks).ignored)
        if marks
        else dataset
    )


def find_ignore_masks(
    dataset: Dataset,
) -> tuple[dict[str, tuple[IgnoreMask, ...]], list[Path]]:
    """Find the marks of each image, and marks in the folders for them that belong to no image."""
    found: dict[str, list[IgnoreMask]] = {}
    lost: list[Path] = []
    by_place = {(path.parent, stem_of(path)): name for name, path in dataset.paths.items()}
    for folder in sorted({path.parent for path in dataset.paths.values()}):
        for path in files_in(folder):
            mark = ignore_mask_kind(path)
            name = None if mark is None else by_place.get((folder, mark[0]))
            if mark is not None and name is not None:
                found.setdefault(name, []).append((path, mark[1]))
    top = dataset.root if dataset.root.is_dir() else dataset.root.parent
    for kind in (IGNORE, REVIEWED):
        place = top / kind
        for path in files_below(place) if place.is_dir() else ():
            name = inner_name(path, place)
            if name in dataset.paths:
                found.setdefault(name, []).append((path, kind))
            elif ignore_mask_kind(path.with_stem(f"{path.stem}_{kind}")) is not None:
                lost.append(path)
    return {name: tuple(marks) for name, marks in found.items()}, lost
