"""Read annotated images, the truth of an evaluation, in any format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.data.base import Dataset, nothing_ignored
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.layouts.coco import annotation_files
from bigkingxxl.data.layouts.kaggle import ANNOTATIONS, is_kaggle, read_fields
from bigkingxxl.data.layouts.registry import find_layout
from bigkingxxl.data.layouts.tree import files_below
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.coco import CocoSet, read_coco
from bigkingxxl.io.annotations.kaggle import read_annotations
from bigkingxxl.io.annotations.label_images import (
    LABEL_SUFFIXES,
    label_instances,
    read_label_folder,
)
from bigkingxxl.io.images.image_files import read_header

Size = tuple[int, int]
Ids = tuple[str, ...]
Ignored = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Truth:
    """Annotated images.

    Attributes:
        path: The file or folder.
        ids: The ids of the images.
        type_names: The names of the cell types.
        instances: Returns the annotated cells of an image, which may overlap.
        known: The COCO data set, if it is one, or the sizes (H, W) by id.
        ignored: Returns bool[H, W], the pixels of an image that are not annotated; None if all are.
        notes: Sentences that a reader of the scores should know.
        columns: Further values by column and id, such as sample_id or field.
    """

    path: Path
    ids: Ids
    type_names: tuple[str, ...]
    instances: Callable[[str], Instances] = field(repr=False)
    known: CocoSet | Mapping[str, Size] = field(repr=False)
    ignored: Callable[[str], Ignored | None] = field(default=nothing_ignored, repr=False)
    notes: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    @cached_property
    def sizes(self) -> Mapping[str, Size]:
        """The (H, W) of each image."""
        return self.known.sizes if isinstance(self.known, CocoSet) else self.known


class ImageSizes(Mapping[str, Size]):
    """The (H, W) of the images of a data set, each read once from its header."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._known: dict[str, Size] = {}

    def __getitem__(self, image_id: str) -> Size:
        if image_id not in self.dataset.paths:
            raise KeyError(image_id)
        if image_id not in self._known:
            self._known[image_id] = read_header(self.dataset.paths[image_id]).shape
        return self._known[image_id]

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.dataset.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.dataset.ids)

    def __len__(self) -> int:
        return len(self.dataset.ids)


def read_truth(path: Path, *, skip_bad: bool = False) -> Truth:
    """Read a data set of any layout, a Kaggle `train.csv`, a COCO file or a folder of label images.

    The images are only read if nothing else gives their size.

    Args:
        path: The file or folder.
        skip_bad: Skip bad rows, and images whose annotations cannot be read or do not fit.

    Raises:
        InputError: The path does not exist or holds no annotations.
        FormatError: The content violates its format.
    """
    if not path.exists():
        raise InputError(f"there is no truth at {path}", file=path)
    if path.is_dir():
        return _truth_folder(path, skip_bad)
    if path.suffix.lower() == ".json":
        return _coco_truth(path, skip_bad)
    if path.name == ANNOTATIONS or find_layout(path) is None:
        table = read_annotations(path, skip_bad=skip_bad)
        columns = {**table.extra, **read_fields(path.parent, table.ids)}
        return Truth(path, table.ids, table.type_names, table.instances, table.sizes,
                     notes=left_out(table.skipped), columns=columns)  # fmt: skip
    return truth_of(open_dataset(path, skip_bad=skip_bad))


def _coco_truth(path: Path, skip_bad: bool) -> Truth:
    skipped: list[str] = []
    coco = read_coco(path, skipped.append if skip_bad else None)
    notes = (*coco.notes, *left_out(skipped))
    return Truth(path, coco.ids, coco.type_names, coco.instances, coco, coco.ignored, notes)


def _truth_folder(folder: Path, skip_bad: bool) -> Truth:
    if is_kaggle(folder):
        return read_truth(folder / ANNOTATIONS, skip_bad=skip_bad)
    layout = find_layout(folder)
    if layout is None:
        cells = {name: label_instances(path) for name, path in read_label_folder(folder).items()}
        sizes = {image_id: found.size for image_id, found in cells.items()}
        notes = _left_out_below(folder)
        return Truth(folder, tuple(cells), (UNTYPED,), cells.__getitem__, sizes, notes=notes)
    files = annotation_files(folder) if layout == "coco" else []
    if len(files) == 1:
        return _coco_truth(files[0], skip_bad)
    return truth_of(open_dataset(folder, skip_bad=skip_bad))


def _left_out_below(folder: Path) -> tuple[str, ...]:
    """Return a note on label images in the subfolders of a folder of label images."""
    below = [path for path in files_below(folder)
             if path.parent != folder and path.suffix.lower() in LABEL_SUFFIXES]  # fmt: skip
    if not below:
        return ()
    told = counted(len(below), "file", "is", "are")
    note = f"truth is read from {folder} itself, and {told} left out in its subfolders: {below[0]}"
    return (f"{note}{' ...' if len(below) > 1 else ''}",)


def truth_of(dataset: Dataset) -> Truth:
    """Return the annotated images of an open data set."""
    return Truth(
        dataset.root, dataset.ids, dataset.type_names, dataset.instances, ImageSizes(dataset),
        dataset.ignored, (*dataset.notes, *left_out(dataset.skipped)), dataset.columns,
    )  # fmt: skip


def left_out(skipped: Collection[str]) -> tuple[str, ...]:
    """Return a note on each file or image that was skipped."""
    return tuple(f"left out: {sentence}" for sentence in skipped)


def majority_type(cells: Instances) -> str | None:
    """Return the most frequent type, the first one in case of a tie; None without cells."""
    if not len(cells):
        return None
    return cells.type_names[int(np.bincount(cells.cell_type).argmax())]
