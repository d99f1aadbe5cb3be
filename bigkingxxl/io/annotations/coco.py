"""Read and write COCO annotation and results files."""

from __future__ import annotations

from bigkingxxl.io.annotations.coco_annotation_writer import write_coco_annotations
from bigkingxxl.io.annotations.coco_annotations import CocoSet, read_coco
from bigkingxxl.io.annotations.coco_results import masks_of, read_results, write_results

__all__ = [
    "CocoSet",
    "masks_of",
    "read_coco",
    "read_results",
    "write_coco_annotations",
    "write_results",
]
