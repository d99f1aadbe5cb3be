"""COCO's annotation files, both ways.

Category ids are mapped once, here: category k in order of the file's ids is cell type k - 1, and
no category is background. Source: cocodataset.org, "Data format".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bigkingxxl.errors import FormatError
from bigkingxxl.files import write_json
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco_segments import (
    SegmentError,
    read_json,
    read_segments,
    segments_of,
    with_pixels,
)

Size = tuple[int, int]
LONGEST_SIDE = 2**31 - 1


@dataclass(frozen=True, eq=False)
class CocoSet:
    """The annotations of a COCO file.

    Attributes:
        path: the file.
        ids: the images by file stem, in the file's order; where two stems are the same, by path
            without ending, '/' written as '_'.
        type_names: category names in order of category id.
        category_ids: COCO's own id of each type.
        file_names: as the file has them, by id.
        sizes: (H, W) by id.
        image_ids: COCO's own image id, by id.
        crowds: how many crowd annotations were left out.
    """

    path: Path
    ids: tuple[str, ...]
    type_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    file_names: dict[str, str]
    sizes: dict[str, Size]
    image_ids: dict[str, int | str]
    crowds: int
    annotations: dict[str, list[dict[str, Any]]] = field(repr=False)

    def instances(self, image_id: str) -> Instances:
        """The annotated cells of one image, in the file's order; they may overlap.

        Raises:
            FormatError: a segmentation that is malformed.
        """
        found = self.annotations[image_id]
        place = {category: index for index, category in enumerate(self.category_ids)}
        kinds = [place[each["category_id"]] for each in found]
        try:
            return with_pixels(
                read_segments(
                    [each["segmentation"] for each in found],
                    self.sizes[image_id],
                    cell_type=np.array(kinds, np.int16),
                    type_names=self.type_names,
                )
            )
        except SegmentError as error:
            name = found[error.index].get("id", error.index)
            raise FormatError(f"{self.path}: annotation {name} has {error}") from error


def read_coco(json_path: Path) -> CocoSet:
    """Read a COCO annotation file; segmentations are decoded when asked for.

    Crowd annotations (`iscrowd`) are counted and left out.

    Raises:
        InputError: there is no such file.
        FormatError: it is no JSON of images, annotations and categories, an id is given twice, or
            an annotation names an unknown category or image or has no segmentation.
    """
    path = Path(json_path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise FormatError(f"{path} holds a list, expected COCO annotations (results are a list)")
    images, annotations, categories = (
        _objects(path, content, key) for key in ("images", "annotations", "categories")
    )
    names = _categories(path, categories)
    ids = _image_names(path, images)
    image_ids = {name: image["id"] for name, image in zip(ids, images, strict=True)}
    by_image: dict[int | str, list[dict[str, Any]]] = {number: [] for number in image_ids.values()}
    crowds = 0
    for place, annotation in enumerate(annotations):
        _check_annotation(path, annotation, place, by_image, names)
        if annotation.get("iscrowd"):
            crowds += 1
        else:
            by_image[annotation["image_id"]].append(annotation)
    return CocoSet(
        path=path,
        ids=ids,
        type_names=tuple(names.values()),
        category_ids=tuple(names),
        file_names={name: image["file_name"] for name, image in zip(ids, images, strict=True)},
        sizes={name: _size(path, image) for name, image in zip(ids, images, strict=True)},
        image_ids=image_ids,
        crowds=crowds,
        annotations={name: by_image[number] for name, number in image_ids.items()},
    )


def _objects(path: Path, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    values = content.get(key)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise FormatError(f"{path} has no list of {key}, expected COCO annotations")
    return values


def _categories(path: Path, categories: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Names by COCO's own id, in order of the ids."""
    names: dict[int, str] = {}
    for category in categories:
        number, name = category.get("id"), category.get("name")
        if not isinstance(number, int) or not isinstance(name, str) or not name:
            raise FormatError(f"{path}: the category {category} lacks a whole id or a name")
        if number in names or name in names.values():
            raise FormatError(f"{path} names the category {number} ('{name}') twice")
        names[number] = name
    if not names:
        raise FormatError(f"{path} names no categories, expected at least one cell type")
    return dict(sorted(names.items()))


def _image_names(path: Path, images: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The stem of every image's file, or its whole path where stems are not unique."""
    seen: set[int | str] = set()
    for image in images:
        number, name = image.get("id"), image.get("file_name")
        if not isinstance(number, int | str) or not isinstance(name, str) or not name:
            raise FormatError(f"{path}: the image {image} lacks an id or a file_name")
        if number in seen:
            raise FormatError(f"{path} names the image id {number} twice")
        seen.add(number)
    files = [PurePosixPath(image["file_name"].replace("\\", "/")) for image in images]
    shared = Counter(file.stem for file in files)
    names = [
        file.stem if shared[file.stem] == 1 else "_".join(file.with_suffix("").parts)
        for file in files
    ]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise FormatError(f"{path} names two images '{twice}', expected names that differ")
    return tuple(names)


def _size(path: Path, image: dict[str, Any]) -> Size:
    height, width = image.get("height"), image.get("width")
    for side in (height, width):
        if not isinstance(side, int) or not 0 < side <= LONGEST_SIDE:
            raise FormatError(
                f"{path}: image {image['file_name']} is {width} x {height}, expected a positive "
                "width and height"
            )
    return height, width  # type: ignore[return-value]


def _check_annotation(
    path: Path,
    annotation: dict[str, Any],
    place: int,
    images: Mapping[int | str, Any],
    categories: Mapping[int, str],
) -> None:
    name = annotation.get("id", place)
    image, category = annotation.get("image_id"), annotation.get("category_id")
    if not isinstance(image, int | str) or image not in images:
        raise FormatError(f"{path}: annotation {name} names the image id {image}, which is unknown")
    if not isinstance(category, int) or category not in categories:
        raise FormatError(
            f"{path}: annotation {name} names the category id {category}, "
            f"expected one of {list(categories)}"
        )
    if not annotation.get("iscrowd") and "segmentation" not in annotation:
        raise FormatError(f"{path}: annotation {name} has no segmentation, a box is not enough")


def write_coco_annotations(
    path: Path, instances_by_id: Mapping[str, Instances], file_names: Mapping[str, str]
) -> None:
    """Write a COCO annotation file with compressed run lengths; ids count from 1.

    Args:
        file_names: the image file of each id, as it is to stand in the file.

    Raises:
        ValueError: images with different type names.
        OutputError: the file cannot be written.
    """
    names = _common_types(instances_by_id.values())
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (image_id, instances) in enumerate(instances_by_id.items(), start=1):
        height, width = instances.size
        images.append(
            {"id": number, "file_name": file_names[image_id], "width": width, "height": height}
        )
        for segment, box, area, kind in segments_of(instances):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": kind + 1,
                    "segmentation": segment,
                    "bbox": box,
                    "area": area,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": place, "name": name} for place, name in enumerate(names, start=1)]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})


def _common_types(parts: Any) -> tuple[str, ...]:
    kinds = {part.type_names for part in parts}
    if len(kinds) > 1:
        raise ValueError(f"images with different cell types cannot share a file: {sorted(kinds)}")
    return next(iter(kinds), ("cell",))
