"""One data set of any layout: images, their annotated cells, and what is known of each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.images.image_files import open_image, read_header


@dataclass(frozen=True, eq=False)
class Dataset:
    """Annotated images on disk; images and cells are read when asked for.

    Attributes:
        layout: 'kaggle', 'coco' or 'pairs'.
        root: the folder or file it was opened from.
        ids: the annotated images, in the data set's own order.
        type_names: the cell types; what `cell_type` of any image's instances indexes.
        paths: the image file of each id.
        read_instances: the annotated cells of an id (see `instances`).
        columns: further values by column and id: sample_id, plate_time, field ...
        unlabelled: image files without annotation.
        skipped: one sentence for everything that was left out as bad.
    """

    layout: str
    root: Path
    ids: tuple[str, ...]
    type_names: tuple[str, ...]
    paths: Mapping[str, Path] = field(repr=False)
    read_instances: Callable[[str], Instances] = field(repr=False)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    unlabelled: tuple[Path, ...] = field(default=(), repr=False)
    skipped: tuple[str, ...] = ()
    _types: dict[str, str | None] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def image_path(self, image_id: str) -> Path:
        """The image file of an id.

        Raises:
            InputError: the data set has no such image.
        """
        if image_id not in self.paths:
            raise InputError(f"{self.root} has no annotated image '{image_id}'")
        return self.paths[image_id]

    def source(self, image_id: str) -> ImageSource:
        """The image of an id.

        Raises:
            ImageError: it cannot be read.
            InputError: the data set has no such image.
        """
        source = open_image(self.image_path(image_id))
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
        instances = self.read_instances(image_id)
        header = read_header(path)
        check_same_size(path, header.shape, instances.size)
        return replace(instances, pixel_size_um=header.pixel_size_um)

    def ignored(self, image_id: str) -> NDArray[np.bool_] | None:  # noqa: ARG002
        """bool[H, W]: the pixels that nobody annotated, or None where all are annotated."""
        return None

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


def check_same_size(path: Path, image: tuple[int, int], annotation: tuple[int, int]) -> None:
    """Refuse an annotation that belongs to an image of another size.

    Raises:
        FormatError: the two sizes (H, W) differ.
    """
    if image != annotation:
        raise FormatError(
            f"{path} has {image[1]} x {image[0]} pixels, but its annotation is for "
            f"{annotation[1]} x {annotation[0]} (width x height)"
        )
