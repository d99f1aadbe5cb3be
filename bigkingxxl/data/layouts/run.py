"""The folder of a `bigkingxxl predict` run as a data set of its current cells.

If a person corrected cells in the viewer, or changed a label image, `_seg.npy`, ROIs or GeoJSON,
the corrected cells are used; otherwise the predicted ones. `runs` reads the same files with the
same functions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bigkingxxl.data.base import Dataset, Ignored
from bigkingxxl.data.layouts.annotated_files import check_agreement, types_in, with_types
from bigkingxxl.data.layouts.corrections import annotated
from bigkingxxl.data.layouts.reading import OPTIONS, opened
from bigkingxxl.display_text import counted
from bigkingxxl.errors import BigKingXXLError, FormatError
from bigkingxxl.files import file_hash
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import (
    CORRECTIONS,
    LABELS,
    CorrectedImage,
    corrected_image,
)
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.io.annotations.registry import FORMATS, AnnotationFile
from bigkingxxl.io.annotations.run_cells import (
    NumberedCells,
    corrected_cells,
    load_cells,
    load_cells_of_blocks,
)
from bigkingxxl.io.tables.csv_table import BadRows

RUN_FILE, RECORDS, CELLS, SUMMARY = "run.json", "records", "cells", "summary"
BLOCKS = "blocks"
CORRECTED = f"{CORRECTIONS}/{LABELS}"  # the viewer's label images in the folder of a run
# Folder and ending of the files that image programs read, change and write.
CORRECTABLE = {
    "labels": ("labels", ".tif"),
    "cellpose": ("cellpose", "_seg.npy"),
    "imagej": ("imagej", ".zip"),
    "qupath": ("qupath", ".geojson"),
}


@dataclass(frozen=True)
class RunImage:
    """An image of a run.

    Attributes:
        image_id: Its id.
        path: Its file.
        place: The relative path of its results in each folder of the run.
        is_plane: Whether it is one of several images of a file.
        changed: The files of its cells that a person changed.
        viewed: The corrections in the viewer, if any.
        run: The fingerprint of the run that predicted its cells.
    """

    image_id: str
    path: Path
    place: str
    is_plane: bool = False
    changed: tuple[AnnotationFile, ...] = ()
    viewed: CorrectedImage | None = None
    run: str = ""

    @property
    def is_corrected(self) -> bool:
        """Whether a person corrected its cells in any way."""
        return bool(self.changed) or self.viewed is not None


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a `bigkingxxl predict` run."""
    return (folder / RUN_FILE).is_file() and (folder / RECORDS / SUMMARY).is_dir()


def open_run_folder(folder: Path, *, skip_bad: bool = False) -> Dataset:
    """Open the images of the latest run in a folder with their current cells.

    Raises:
        FormatError: The run has no images with cells, or one of its images is missing.
    """
    bad = BadRows(folder, skip_bad)
    images: dict[str, RunImage] = {}
    for image in run_images(folder):
        if not image.path.exists():
            bad.add_text(f"{image.path}, whose cells are in {folder}, no longer exists")
        else:
            images[image.image_id] = image
    if not images:
        raise FormatError(f"{folder} contains no cells of images that are still there", file=folder)
    names, kept = _type_names(folder, images, bad)
    reader = _RunCells(folder, images, names)
    predicted = frozenset(each for each in kept if not images[each].is_corrected)
    notes = [_correction_note(folder, len(kept), len(kept) - len(predicted))]
    if any(images[image_id].viewed for image_id in kept):
        notes.append(f"{folder / CORRECTIONS} contains only reviewed parts")
    reading = _mapping(_json(folder / RUN_FILE).get("reading"))
    options = {name: reading.get(name) for name in OPTIONS if reading.get(name) is not None}
    parts = {image_id for image_id in kept if options or images[image_id].is_plane}
    paths = {image_id: images[image_id].path for image_id in kept}
    return Dataset(
        layout="run",
        root=folder,
        ids=tuple(kept),
        type_names=names,
        paths=paths,
        read_instances=reader.instances,
        read_ignored=reader.ignored,
        read_source=partial(opened, paths, options) if parts else None,
        is_part=parts.__contains__,
        skipped=tuple(bad.messages),
        notes=tuple(notes),
        predicted=predicted,
    )


def _correction_note(folder: Path, images: int, corrected: int) -> str:
    """Return whose cells the images of a run have: a person's or the model's."""
    if not corrected:
        return (
            f"nobody corrected the cells of the {counted(images, 'image')} in {folder}: they are "
            "those that the model found"
        )
    if corrected == images:
        return f"a person corrected all images in {folder} ({images})"
    return (
        f"a person corrected {corrected} of {images} images in {folder}; the cells of the others "
        "are those that the model found"
    )


@dataclass(frozen=True, eq=False)
class _RunCells:
    folder: Path
    images: Mapping[str, RunImage]
    type_names: tuple[str, ...]

    def instances(self, image_id: str) -> Instances:
        """Read the cells of an image, with types among `type_names`."""
        return with_types(_annotated(self.folder, self.images[image_id]), self.type_names)

    def ignored(self, image_id: str) -> Ignored | None:
        """Return the pixels that were not reviewed in an image corrected in the viewer."""
        viewed = self.images[image_id].viewed
        return None if viewed is None else viewed.ignored()


def _annotated(folder: Path, image: RunImage) -> Instances:
    """Return the current cells of an image, corrected in the viewer or elsewhere."""
    return cells_now(folder, image) if image.viewed is None else annotated(image.viewed)


def cells_now(folder: Path, image: RunImage) -> Instances:
    """Return the corrected cells of an image from the files of the run, or the predicted ones.

    Raises:
        FormatError: Two corrected files differ, or one violates its format.
        ImageError: A file cannot be read.
    """
    found = _found_cells(folder, image)
    if not image.changed:
        return found
    cells = cells_of_files(image.image_id, image.changed, found).instances
    return certain(cells)


def _found_cells(folder: Path, image: RunImage) -> Instances:
    blocks = folder / BLOCKS / f"{image.place}.{BLOCKS}"
    if blocks.is_dir():
        return load_cells_of_blocks(blocks, image.run)
    return load_cells(folder / CELLS / f"{image.place}.npz")


def cells_of_files(
    image_id: str, files: Sequence[AnnotationFile], found: Instances
) -> NumberedCells:
    """Read the cells of an image from files of a run that a person changed.

    Cells corrected in a format without types keep the types of the predicted cells. The numbers are
    those of the label image, if it was corrected.

    Args:
        image_id: The id of the image.
        files: At least one changed file.
        found: The predicted cells.

    Raises:
        FormatError: Two files differ, or one violates its format or has another size.
        ImageError: A file cannot be read.
    """
    labels = {
        file.path: read_label_image(file.path, size=found.size)
        for file in files if file.format == LABELS
    }  # fmt: skip
    cells = [
        Instances.from_label_map(labels[file.path]) if file.path in labels
        else file.read(found.size) for file in files
    ]  # fmt: skip
    check_agreement(image_id, files, cells)
    typed = [each for each, file in zip(cells, files, strict=True)
             if FORMATS[file.format].names_types]  # fmt: skip
    if typed and not labels:
        return NumberedCells.of(typed[0])
    drawn = next(iter(labels.values())) if labels else cells[0].label_map()
    corrected = corrected_cells(drawn, found, found.pixel_size_um)
    if not typed:
        return corrected
    kinds = corrected_cells(drawn, typed[0], None).instances
    cells_typed = replace(
        corrected.instances, cell_type=kinds.cell_type, type_names=kinds.type_names
    )
    return NumberedCells(cells_typed, corrected.numbers)


def certain(cells: Instances) -> Instances:
    """Set the score of cells that a person drew to 1."""
    if cells.score is None:
        return cells
    return replace(cells, score=np.nan_to_num(cells.score, nan=1.0).astype(np.float32))


def run_images(folder: Path) -> list[RunImage]:
    """List the images of the latest run in a folder that have cells, whether or not they exist."""
    run = str(_json(folder / RUN_FILE).get("run", ""))
    top = folder / RECORDS / SUMMARY
    images = []
    for path in sorted(top.rglob("*.json")):
        record = _json(path)
        details = _mapping(record.get("details"))
        if details.get("run") == run and record.get("path"):
            place = path.relative_to(top).as_posix().removesuffix(".json")
            images.append(
                RunImage(
                    str(record.get("image", place)), Path(str(record["path"])), place,
                    record.get("frame") is not None, tuple(_changed(folder, place)),
                    corrected_image(folder / CORRECTIONS, place),
                    str(details.get("cells_of", run)),
                )
            )  # fmt: skip
    return images


def _changed(folder: Path, place: str) -> Iterator[AnnotationFile]:
    """Yield the files of an image's cells that differ from what the run wrote."""
    for kind, (inner, ending) in CORRECTABLE.items():
        path = folder / inner / f"{place}{ending}"
        if not path.is_file():
            continue
        record = _json(folder / RECORDS / kind / f"{place}.json")
        known = {_mapping(record.get("output")).get("sha256"), *record.get("replaced", ())}
        # A file that no run wrote is not a correction of this run.
        if record and file_hash(path) not in known:
            yield AnnotationFile(path, kind, (place,), True)


def _type_names(
    folder: Path, images: Mapping[str, RunImage], bad: BadRows
) -> tuple[tuple[str, ...], list[str]]:
    """Return all types of all cells, and the images whose cells can be read."""
    names: dict[str, None] = {}
    kept = []
    for image_id, image in images.items():
        try:
            cells = _annotated(folder, image)
        except BigKingXXLError as error:
            bad.add_text(str(error))
            continue
        names.update(dict.fromkeys(types_in(cells) if image.is_corrected else cells.type_names))
        kept.append(image_id)
    if not kept:
        raise FormatError(f"{folder} contains no cells that can be read", file=folder)
    return tuple(names), kept


def _json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file; {} if it does not exist."""
    try:
        return _mapping(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
