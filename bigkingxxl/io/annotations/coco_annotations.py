"""Read and write COCO annotation files, including the variants of annotation tools.

Category ids are mapped once, here: the categories in order of their ids are the cell types, and no
category is the background. Categories with the same name are one type (CVAT and Roboflow write
duplicates), and a supercategory without annotations is not a type (Roboflow lists it first).

A crowd is an area that is not annotated cell by cell: it is not a cell, and its pixels are used
neither for training nor for scores (see `CocoSet.ignored`). CVAT writes painted cells as crowds; if
a file contains nothing else, they are cells.

Source: cocodataset.org, "Data format".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco_images import claimed_size, image_names, whole_number
from bigkingxxl.io.annotations.coco_segments import (
    FEWEST_POINTS,
    SegmentError,
    read_json,
    read_segments,
    with_pixels,
)

Size = tuple[int, int]
Annotation = dict[str, Any]
Complain = Callable[[str], None]
CROWD_TEXTS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True,
               "yes": True}  # fmt: skip


@dataclass(frozen=True, eq=False)
class CocoSet:
    """The annotations of a COCO file.

    Attributes:
        path: The file.
        ids: The images by file stem, in the order of the file; if stems are not unique, by path
            without ending.
        type_names: The category names in order of category id.
        category_ids: COCO's id of each type, the first one if a name has several.
        type_of: The type (an index) of each of COCO's ids.
        file_names: The file names as in the file, by id.
        sizes: (H, W) by id.
        image_ids: COCO's image id, by id.
        crowds: The number of crowd annotations, which are not cells.
        notes: One sentence for each interpretation that may surprise.
    """

    path: Path
    ids: tuple[str, ...]
    type_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    type_of: dict[int, int]
    file_names: dict[str, str]
    sizes: dict[str, Size]
    image_ids: dict[str, int | str]
    crowds: int
    notes: tuple[str, ...]
    annotations: dict[str, list[Annotation]] = field(repr=False)
    crowd_annotations: dict[str, list[Annotation]] = field(repr=False)

    def instances(self, image_id: str) -> Instances:
        """Return the annotated cells of an image in the order of the file; they may overlap.

        Raises:
            FormatError: A segmentation is malformed.
        """
        found = self.annotations[image_id]
        kinds = [self.type_of[int(each["category_id"])] for each in found]
        return self._read(
            image_id, found, cell_type=np.array(kinds, np.int16), type_names=self.type_names
        )

    def ignored(self, image_id: str) -> NDArray[np.bool_] | None:
        """Return the pixels of crowds, which are not annotated, bool[H, W]; None without crowds.

        Raises:
            FormatError: A segmentation is malformed.
        """
        found = [each for each in self.crowd_annotations[image_id] if each.get("segmentation")]
        return self._read(image_id, found).label_map() > 0 if found else None

    def _read(self, image_id: str, found: Sequence[Annotation], **fields: Any) -> Instances:
        try:
            segments = [each["segmentation"] for each in found]
            return with_pixels(read_segments(segments, self.sizes[image_id], **fields))
        except SegmentError as error:
            name = found[error.index].get("id", error.index)
            raise FormatError(
                f"{self.path}: annotation {name} has {error}",
                file=self.path,
                key=f"annotation {name}",
            ) from error


def read_coco(json_path: Path, complain: Complain | None = None) -> CocoSet:
    """Read a COCO annotation file; segmentations are decoded on demand.

    Args:
        json_path: The file.
        complain: Called for each bad annotation or image, which is then left out (an image with all
            its annotations); by default an error is raised.

    Raises:
        InputError: The file does not exist.
        FormatError: It is not JSON with images, annotations and categories, an id occurs twice, or
            an annotation names an unknown category or image or has no segmentation.
    """
    path = Path(json_path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise FormatError(
            f"{path} contains a list, expected COCO annotations (results are a list)", file=path
        )
    images, annotations, categories = (
        _objects(path, content, key) for key in ("images", "annotations", "categories")
    )
    names = _categories(path, categories, annotations)
    type_names = tuple(dict.fromkeys(names.values()))
    ids = image_names(path, images)
    by_number = {image["id"]: name for name, image in zip(ids, images, strict=True)}
    by_name = dict(zip(ids, images, strict=True))
    bad = _Bad(path, complain)
    sizes = {name: claimed_size(path, image, name, bad.add) for name, image in by_name.items()}
    cells: dict[str, list[Annotation]] = {name: [] for name in ids}
    crowds: dict[str, list[Annotation]] = {name: [] for name in ids}
    for place, annotation in enumerate(annotations):
        name = _image_of(path, annotation, place, by_number, bad)
        if name is not None and _is_usable(path, annotation, place, name, names, bad):
            (crowds if _is_crowd(annotation) else cells)[name].append(annotation)
    cells, crowds, notes = _cells_and_crowds(path, cells, crowds)
    kept = tuple(name for name in ids if name not in bad.images)
    return CocoSet(
        path=path,
        ids=kept,
        type_names=type_names,
        category_ids=tuple(
            next(number for number, each in names.items() if each == name) for name in type_names
        ),
        type_of={number: type_names.index(name) for number, name in names.items()},
        file_names={name: by_name[name]["file_name"] for name in kept},
        sizes={name: sizes[name] for name in kept},
        image_ids={name: by_name[name]["id"] for name in kept},
        crowds=sum(map(len, crowds.values())),
        notes=tuple(notes),
        annotations={name: cells[name] for name in kept},
        crowd_annotations={name: crowds[name] for name in kept},
    )


def _cells_and_crowds(
    path: Path, cells: dict[str, list[Annotation]], crowds: dict[str, list[Annotation]]
) -> tuple[dict[str, list[Annotation]], dict[str, list[Annotation]], list[str]]:
    """Return the cells and the crowds by image, and sentences on what may surprise."""
    notes = []
    count = sum(map(len, crowds.values()))
    if count and not any(cells.values()):
        cells, crowds = crowds, cells
        notes.append(
            f"all {count} annotations of {path.name} are marked as crowds, as CVAT marks painted "
            "cells: they are taken as cells"
        )
    elif count:
        notes.append(
            f"{count} crowd annotations of {path.name} mark areas that are not annotated: they "
            "are neither used for training nor scored"
        )
    without_area = sum(map(_has_no_area, (each for some in cells.values() for each in some)))
    if without_area:
        notes.append(
            f"{without_area} annotations of {path.name} have no area (fewer than {FEWEST_POINTS} "
            "points) and are left out"
        )
    return cells, crowds, notes


@dataclass
class _Bad:
    """Handles errors: raises them, or reports them and leaves the image out."""

    path: Path
    complain: Complain | None
    images: set[str] = field(default_factory=set)

    def add(self, sentence: str, image: str | None) -> None:
        """Report a bad annotation and its image, if known."""
        if self.complain is None:
            raise FormatError(sentence, file=self.path, key=image)
        self.complain(sentence)
        if image is not None:
            self.images.add(image)


def _objects(path: Path, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    values = content.get(key)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise FormatError(
            f"{path} has no list of {key}, expected COCO annotations", file=path, key=key
        )
    return values


def _categories(
    path: Path, categories: Sequence[dict[str, Any]], annotations: Sequence[Annotation]
) -> dict[int, str]:
    """Return the names by COCO's id, in order of the ids."""
    names: dict[int, str] = {}
    for category in categories:
        number, name = whole_number(category.get("id")), category.get("name")
        if number is None or not isinstance(name, str) or not name:
            raise FormatError(
                f"{path}: the category {category} lacks a whole id or a name",
                file=path,
                key="categories",
                found=category,
            )
        if names.setdefault(number, name) != name:
            raise FormatError(
                f"{path} names the category {number} ('{name}') twice",
                file=path,
                key="categories",
                found=number,
            )
    if not names:
        raise FormatError(
            f"{path} names no categories, expected at least one cell type",
            file=path,
            key="categories",
        )
    parents = {category.get("supercategory") for category in categories}
    used = {whole_number(annotation.get("category_id")) for annotation in annotations}
    kept = {number: name for number, name in sorted(names.items())
            if number in used or name not in parents}  # fmt: skip
    return kept or dict(sorted(names.items()))


def _image_of(
    path: Path, annotation: Annotation, place: int, by_number: Mapping[int | str, str], bad: _Bad
) -> str | None:
    image = annotation.get("image_id")
    for key in (image, whole_number(image)):
        if isinstance(key, int | str) and key in by_number:
            return by_number[key]
    name = annotation.get("id", place)
    bad.add(f"{path}: annotation {name} names the image id {image}, which is unknown", None)
    return None


def _is_usable(
    path: Path,
    annotation: Annotation,
    place: int,
    image: str,
    categories: Mapping[int, str],
    bad: _Bad,
) -> bool:
    """Return whether an annotation is valid; report it otherwise."""
    category = whole_number(annotation.get("category_id"))
    if category not in categories:
        what = (
            f"names the category id {annotation.get('category_id')}, "
            f"expected one of {list(categories)}"
        )
    elif not isinstance(_crowd_mark(annotation), bool):
        what = f"has the iscrowd {annotation['iscrowd']}, expected 0 or 1"
    elif not _is_crowd(annotation) and "segmentation" not in annotation:
        what = "has no segmentation, a box is not enough"
    else:
        return True
    bad.add(f"{path}: annotation {annotation.get('id', place)} {what}", image)
    return False


def _crowd_mark(annotation: Annotation) -> bool | None:
    """Return the value of `iscrowd`; None if it is unknown."""
    mark = annotation.get("iscrowd")
    if isinstance(mark, str):
        return CROWD_TEXTS.get(mark.strip().lower())
    if mark is None:
        return False
    return bool(mark) if isinstance(mark, int | float) else None


def _is_crowd(annotation: Annotation) -> bool:
    return _crowd_mark(annotation) is True


def _has_no_area(annotation: Annotation) -> bool:
    """Return whether an annotation has only polygons with fewer than three points."""
    segments = annotation.get("segmentation")
    return isinstance(segments, list) and not any(
        not isinstance(part, list)
        or len(part) >= 2 * FEWEST_POINTS
        or (len(part) >= FEWEST_POINTS and isinstance(part[0], list))
        for part in segments
    )
