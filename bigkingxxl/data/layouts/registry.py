"""The registry of data set layouts, in the order in which they are tried.

A new layout is a module with a test and an opener, and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.layouts.coco import annotation_files, open_coco
from bigkingxxl.data.layouts.corrections import open_corrections
from bigkingxxl.data.layouts.ctc import is_ctc, open_ctc
from bigkingxxl.data.layouts.files import is_files, is_nested_files, open_files, open_nested_files
from bigkingxxl.data.layouts.kaggle import ANNOTATIONS, is_kaggle, open_kaggle
from bigkingxxl.data.layouts.masks import is_masks, open_masks
from bigkingxxl.data.layouts.run import is_run, open_run_folder
from bigkingxxl.data.layouts.submission import is_submission, open_submission
from bigkingxxl.data.layouts.zarr import is_zarr_set, open_zarr_set
from bigkingxxl.io.annotations.corrections import is_corrections
from bigkingxxl.io.annotations.registry import json_kind


class Opener(Protocol):
    """Opens a data set; bad items raise an error, or are skipped and listed."""

    def __call__(self, path: Path, /, *, skip_bad: bool = False) -> Dataset: ...


class Layout(NamedTuple):
    """A layout of annotated images on disk.

    Attributes:
        what: A description of the layout for messages.
        is_it: Whether a folder or file has this layout.
        open: Opens it.
    """

    what: str
    is_it: Callable[[Path], bool]
    open: Opener


def _open_kaggle_file(path: Path, *, skip_bad: bool = False) -> Dataset:
    return open_kaggle(path.parent, skip_bad=skip_bad)


def _is_coco_file(path: Path) -> bool:
    return path.suffix.lower() == ".json" and json_kind(path) not in ("labelme", "qupath")


FOLDERS: dict[str, Layout] = {
    "run": Layout("a folder of `bigkingxxl predict`", is_run, open_run_folder),
    "corrections": Layout("corrections of `bigkingxxl view`", is_corrections, open_corrections),
    "zarr": Layout("x.zarr with labels/ in it (OME-Zarr)", is_zarr_set, open_zarr_set),
    "kaggle": Layout("train.csv next to train/", is_kaggle, open_kaggle),
    "ctc": Layout("01/ next to 01_GT/SEG/ or 01_ST/SEG/", is_ctc, open_ctc),
    "pairs": Layout(
        "images/ next to labels/, masks/ or annotations/, or x.png next to x_masks.tif, "
        "x_seg.npy, x.zip (ImageJ ROIs), x.geojson or x.json (labelme)",
        is_files, open_files,
    ),
    "masks": Layout("ID/images/ next to ID/masks/", is_masks, open_masks),
    "coco": Layout(
        "one COCO file (annotations*.json, _annotations.coco.json, result.json)",
        lambda folder: bool(annotation_files(folder)), open_coco,
    ),
    "submission": Layout("submission.csv next to its images", is_submission, open_submission),
    "nested pairs": Layout("the same in sub-folders", is_nested_files, open_nested_files),
}  # fmt: skip

FILES: dict[str, Layout] = {
    "kaggle": Layout(ANNOTATIONS, lambda path: path.name == ANNOTATIONS, _open_kaggle_file),
    "coco": Layout("a COCO annotation file (.json)", _is_coco_file, open_coco),
    "submission": Layout("a submission (.csv)", is_submission, open_submission),
}


def find_layout(path: Path) -> str | None:
    """Return the name of the layout of an existing folder or file; None if there is none."""
    layouts = FOLDERS if path.is_dir() else FILES
    return next((name for name, layout in layouts.items() if layout.is_it(path)), None)
