"""Write COCO annotation files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigkingxxl.files import write_json
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.coco_segments import (
    segments_of,
)


def write_coco_annotations(
    path: Path, instances_by_id: Mapping[str, Instances], file_names: Mapping[str, str]
) -> None:
    """Write a COCO annotation file with compressed run lengths; ids count from 1.

    Args:
        path: The file.
        instances_by_id: The cells of each image.
        file_names: The image file of each id, as written to the file.

    Raises:
        ValueError: The images have different type names.
        OutputError: The file cannot be written.
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
    categories = [{"id": place, "name": name or UNTYPED}
                  for place, name in enumerate(names, start=1)]  # fmt: skip
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})


def _common_types(parts: Any) -> tuple[str, ...]:
    kinds = {part.type_names for part in parts}
    if len(kinds) > 1:
        raise ValueError(f"images with different cell types cannot share a file: {sorted(kinds)}")
    return next(iter(kinds), (UNTYPED,))
