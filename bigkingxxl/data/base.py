"""A data set of any layout: images, their annotated cells, and metadata of each image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.label_images import check_same_size
from bigkingxxl.io.images.image_files import open_image, read_header

Ignored = NDArray[np.bool_]


def nothing_ignored(image_id: str) -> Ignored | None:  # noqa: ARG001
    """Return None: every pixel is annotated."""
    return None


def part_of_its_file(image_id: str) -> bool:  # noqa: ARG001
    """Return True: every image may be a part of its file."""
    return True


@dataclass(frozen=True, eq=False)
class Dataset:
    """Annotated images on disk, which are read on demand.

    Attributes:
        layout: The name of the layout; see `layouts.LAYOUTS`.
        root: The folder or file from which it was opened.
        ids: The ids of the annotated images, in the order of the data set.
        type_names: The cell types, which `cell_type` of all instances refers to.
        paths: The image file of each id.
        read_instances: Reads the annotated cells of an id (see `instances`).
        read_ignored: Reads the pixels of an id that are not annotated (see `ignored`).
        read_source: Opens the image of an id, if a file may contain more than the image.
        is_part: Whether the image of an id is only a part of its file, if `read_source` is given.
        columns: Further values by column and id, such as sample_id, plate_time or field.
        unlabelled: Image files without annotations.
        skipped: One sentence for each item that was left out as bad.
        notes: One sentence for each interpretation that may surprise.
        predicted: The ids of images whose cells were predicted by a model and not corrected.
    """

    layout: str
    root: Path
    ids: tuple[str, ...]
    type_names: tuple[str, ...]
    paths: Mapping[str, Path] = field(repr=False)
    read_instances: Callable[[str], Instances] = field(repr=False)
    read_ignored: Callable[[str], Ignored | None] = field(default=nothing_ignored, repr=False)
    read_source: Callable[[str], ImageSource] | None = field(default=None, repr=False)
    is_part: Callable[[str], bool] = field(default=part_of_its_file, repr=False)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    unlabelled: tuple[Path, ...] = field(default=(), repr=False)
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    predicted: frozenset[str] = frozenset()
    _types: dict[str, str | None] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def among(self, names: Iterable[str]) -> frozenset[str]:
        """Return the ids that names refer to: ids, or `FOLDER/ID` with the folder of this data set.

        Models that were trained on several data sets use the second form for ids that occur in
        several of them.
        """
        known = set(names)
        folder = (self.root if self.root.is_dir() else self.root.parent).name
        return frozenset(
            image_id
            for image_id in self.ids
            if image_id in known or f"{folder}/{image_id}" in known
        )

    def image_path(self, image_id: str) -> Path:
        """Return the image file of an id.

        Raises:
            InputError: There is no such image.
        """
        if image_id not in self.paths:
            raise InputError(
                f"{self.root} has no annotated image '{image_id}'", file=self.root, found=image_id
            )
        return self.paths[image_id]

    def source(self, image_id: str) -> ImageSource:
        """Open the image of an id.

        Raises:
            ImageError: It cannot be read.
            InputError: There is no such image.
        """
        path = self.image_path(image_id)
        source = open_image(path) if self.read_source is None else self.read_source(image_id)
        source.name = image_id
        return source

    def instances(self, image_id: str) -> Instances:
        """Read the annotated cells of an id, which may overlap, with the pixel size of the image.

        Raises:
            FormatError: The annotation does not fit the size of the image, or violates its format.
            ImageError: The header of the image cannot be read.
            InputError: There is no such image.
        """
        path = self.image_path(image_id)
        header = read_header(path)
        instances = self.read_instances(image_id)
        check_same_size(path, header.shape, instances.size)
        return replace(instances, pixel_size_um=header.pixel_size_um)

    def ignored(self, image_id: str) -> Ignored | None:
        """Read the mask bool[H, W] of pixels that are not annotated; None if all are annotated.

        These pixels are used neither for training nor for scores. See
        `io.annotations.ignore_masks` for the files that mark them.

        Raises:
            FormatError: Its size differs from that of the image, or it cannot be interpreted.
            ImageError: The header of the image, or a mask, cannot be read.
            InputError: There is no such image.
        """
        path = self.image_path(image_id)
        mask = self.read_ignored(image_id)
        if mask is not None:
            height, width = mask.shape
            check_same_size(path, read_header(path).shape, (height, width))
        return mask

    def cell_type(self, image_id: str) -> str | None:
        """Return the most frequent type of an image's cells (the first in case of a tie), or None.

        Raises:
            InputError: There is no such image.
        """
        if image_id not in self._types:
            self.image_path(image_id)
            kinds = self.read_instances(image_id).cell_type
            counts = np.bincount(kinds, minlength=len(self.type_names))
            self._types[image_id] = self.type_names[int(counts.argmax())] if len(kinds) else None
        return self._types[image_id]


def check_claim(path: Path, claimed: tuple[int, int]) -> None:
    """Check the size (H, W) that a table gives for an image before cells of that size are created.

    An image that cannot be read is accepted; reading its pixels will report the error.

    Raises:
        FormatError: The image has another size.
    """
    try:
        size = read_header(path).shape
    except ImageError:
        return
    check_same_size(path, size, claimed)
