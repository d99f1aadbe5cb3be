"""Read cells and ignored pixels of images from annotation files of any format."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.data.cell_types_table import CellTypes
from bigkingxxl.errors import FormatError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.ignore_masks import joined, read_geojson_ignore_mask
from bigkingxxl.io.annotations.label_images import binary_sentence, read_label_image
from bigkingxxl.io.annotations.mask_folders import read_mask_folder
from bigkingxxl.io.annotations.registry import FORMATS, AnnotationFile
from bigkingxxl.io.images.image_files import read_header

log = logging.getLogger(__name__)
Size = tuple[int, int]
MASKS = "masks"  # a folder of masks, instead of a single file


@dataclass(frozen=True, eq=False)
class AnnotatedFiles:
    """Reads the cells of images.

    Attributes:
        images: The image file of each id.
        files: The annotation files of each id; several must agree.
        type_names: The cell types.
        types: The content of a table of types beside the files.
    """

    images: Mapping[str, Path]
    files: Mapping[str, tuple[AnnotationFile, ...]]
    type_names: tuple[str, ...]
    types: CellTypes
    _binary: list[Path] = field(default_factory=list, init=False)

    def instances(self, image_id: str) -> Instances:
        """Read the cells of an image, with types among `type_names`.

        Raises:
            FormatError: Its files contradict each other, or one violates its format.
            ImageError: The image or a label image cannot be read.
        """
        size = read_header(self.images[image_id]).shape
        files = self.files[image_id]
        found = [self._read(image_id, file, size) for file in files]
        check_agreement(image_id, files, found)
        return with_types(found[0], self.type_names)

    def ignored(self, image_id: str) -> NDArray[np.bool_] | None:
        """Return the pixels that QuPath's classes exclude, bool[H, W]; None if there are none."""
        size = read_header(self.images[image_id]).shape
        files = self.files[image_id]
        return joined([read_geojson_ignore_mask(each.path, size) for each in files
                       if each.format == "qupath"])  # fmt: skip

    def _read(self, image_id: str, file: AnnotationFile, size: Size) -> Instances:
        if file.format == MASKS:
            cells = read_mask_folder(file.path, size)
        elif file.format == "labels":
            labels = read_label_image(file.path, size=size, on_binary=self._say_binary)
            return self.types.apply(image_id, labels)
        else:
            cells = FORMATS[file.format].read(file.path, size)
            if FORMATS[file.format].names_types:
                return cells
        return self.types.apply_to(image_id, cells)

    def _say_binary(self, path: Path, parts: int) -> None:
        """Note once per data set that masks are binary; those of a data set are of one kind."""
        if not self._binary:
            log.warning("%s (other masks of this kind are not named)", binary_sentence(path, parts))
        if path not in self._binary:
            self._binary.append(path)


def with_types(cells: Instances, names: tuple[str, ...]) -> Instances:
    """Renumber the types of cells as in `names`, which contains them all."""
    if cells.type_names == names:
        return cells
    used = set(cells.cell_type.tolist())
    place = np.array(
        [names.index(name) if index in used else 0 for index, name in enumerate(cells.type_names)],
        np.int16,
    )
    return replace(cells, cell_type=place[cells.cell_type], type_names=names)


def types_in(cells: Instances) -> list[str]:
    """Return the names of the types that occur, in their order."""
    return [cells.type_names[kind] for kind in np.unique(cells.cell_type).tolist()]


def check_agreement(
    image_id: str, files: Sequence[AnnotationFile], found: Sequence[Instances]
) -> None:
    """Check that several annotations of one image contain the same cells.

    Raises:
        FormatError: Two differ, which the message names.
    """
    if len(found) < 2:
        return
    seen = [_partition(cells) for cells in found]
    for file, cells, labels in zip(files[1:], found[1:], seen[1:], strict=True):
        if labels.shape != seen[0].shape or not np.array_equal(labels, seen[0]):
            raise FormatError(
                f"{image_id} has two different annotations: {files[0].path} ({len(found[0])} "
                f"cells) and {file.path} ({len(cells)} cells): keep the correct one and move the "
                "other one to another folder",
                file=file.path,
                key=image_id,
                found=len(cells),
                expected=len(found[0]),
            )


def _partition(cells: Instances) -> NDArray[Any]:
    """Return the visible cells numbered in reading order, int[H, W]."""
    labels = cells.label_map()
    values, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.where(values == 0, -1, first))
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values)) + (0 if values[0] == 0 else 1)
    numbered: NDArray[Any] = rank[inverse.reshape(labels.shape)]
    return numbered
