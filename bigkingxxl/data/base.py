"""One data set of any layout: images, their annotated cells, and what is known of each image."""

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
    """Every pixel is annotated."""
    return None


def part_of_its_file(image_id: str) -> bool:  # noqa: ARG001
    """Every image may be less than its file holds."""
    return True


@dataclass(frozen=True, eq=False)
class Dataset:
    """Annotated images on disk; images and cells are read when asked for.

    Attributes:
        layout: the name of its layout, see `layouts.LAYOUTS`.
        root: the folder or file it was opened from.
        ids: the annotated images, in the data set's own order.
        type_names: the cell types; what `cell_type` of any image's instances indexes.
        paths: the image file of each id.
        read_instances: the annotated cells of an id (see `instances`).
        read_ignored: what is not annotated in an id (see `ignored`).
        read_source: opens the image of an id, where a file may hold more than is looked at.
        is_part: True for the id of an image that is not all of its file, where `read_source` is
            given.
        columns: further values by column and id: sample_id, plate_time, field ...
        unlabelled: image files without annotation.
        skipped: one sentence for everything that was left out as bad.
        notes: one sentence for everything that was understood in a way that may surprise.
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
    _types: dict[str, str | None] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def among(self, names: Iterable[str]) -> frozenset[str]:
        """The ids that some names mean: ids as they are, or `FOLDER/ID` with this set's folder.

        Models trained on several data sets name images so that have one id in two of them.
        """
        known = set(names)
        folder = (self.root if self.root.is_dir() else self.root.parent).name
        return frozenset(
            image_id
            for image_id in self.ids
            if image_id in known or f"{folder}/{image_id}" in known
        )

    def image_path(self, image_id: str) -> Path:
        """The image file of an id.

        Raises:
            InputError: the data set has no such image.
        """
        if image_id not in self.paths:
            raise InputError(
                f"{self.root} has no annotated image '{image_id}'", file=self.root, found=image_id
            )
        return self.paths[image_id]

    def source(self, image_id: str) -> ImageSource:
        """The image of an id.

        Raises:
            ImageError: it cannot be read.
            InputError: the data set has no such image.
        """
        path = self.image_path(image_id)
        source = open_image(path) if self.read_source is None else self.read_source(image_id)
        source.name = image_id
        return source

    def instances(self, image_id: str) -> Instances:
        """The annotated cells of an id; they may overlap. Pixel size as the image stores it.

        Raises:
            FormatError: the annotation's size is not the image's, or it breaks its format's rules.
            ImageError: the image's header cannot be read.
            InputError: the data set has no such image.
        """
        path = self.image_path(image_id)
        header = read_header(path)
        instances = self.read_instances(image_id)
        check_same_size(path, header.shape, instances.size)
        return replace(instances, pixel_size_um=header.pixel_size_um)

    def ignored(self, image_id: str) -> Ignored | None:
        """bool[H, W], True where nobody annotated the image; None where all of it is annotated.

        What lies there is neither learnt nor scored. See `io.annotations.ignored` for the files
        that say so.

        Raises:
            FormatError: it is of another size than the image, or cannot be understood.
            ImageError: the image's header, or a mask, cannot be read.
            InputError: the data set has no such image.
        """
        path = self.image_path(image_id)
        mask = self.read_ignored(image_id)
        if mask is not None:
            height, width = mask.shape
            check_same_size(path, read_header(path).shape, (height, width))
        return mask

    def cell_type(self, image_id: str) -> str | None:
        """The type of most of an image's cells (the first of equals), None without cells.

        Raises:
            InputError: the data set has no such image.
        """
        if image_id not in self._types:
            self.image_path(image_id)
            kinds = self.read_instances(image_id).cell_type
            counts = np.bincount(kinds, minlength=len(self.type_names))
            self._types[image_id] = self.type_names[int(counts.argmax())] if len(kinds) else None
        return self._types[image_id]


def check_claim(path: Path, claimed: tuple[int, int]) -> None:
    """Refuse the size (H, W) that a table claims of an image before cells are made of that size.

    An image that cannot be read refutes nothing: whoever needs its pixels finds out.

    Raises:
        FormatError: the image is of another size.
    """
    try:
        size = read_header(path).shape
    except ImageError:
        return
    check_same_size(path, size, claimed)
