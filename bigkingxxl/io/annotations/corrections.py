"""Corrections made in the viewer, image by image, beside the results that they started from.

    corrections.json            what the folder is, and how its images are opened
    labels/<image>.tif          the current cells, each with a number of its own
    cells/<image>.json          the image, and metadata of each cell and of the image
    reviewed/<image>.png        white where a person reviewed
    journal/                    the history, written and read by the viewer

Each file is written atomically. The journal is authoritative: the viewer restores the other files
from it after a crash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import FormatError
from bigkingxxl.files import write_bytes, write_text
from bigkingxxl.instances import NO_TYPE, Instances, PixelSize
from bigkingxxl.io.annotations.label_images import read_label_image, write_labels
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.io.images.folders import CORRECTIONS_FILE

CORRECTIONS = "corrections"
FORMAT = "bigkingxxl-corrections-1"
LABELS, CELLS, REVIEWED, JOURNAL = "labels", "cells", "reviewed", "journal"
WHITE = 255


@dataclass(frozen=True)
class CellNote:
    """Metadata of a cell.

    Attributes:
        origin: 'model', 'edited' (a model's cell whose pixels a person changed) or 'drawn'.
        type: Its type, "" if unknown.
        score: The score of the model, or None.
    """

    origin: str
    type: str = NO_TYPE
    score: float | None = None


@dataclass(frozen=True)
class CorrectedImage:
    """An image with corrected cells.

    Attributes:
        folder: The folder of corrections.
        place: The relative path of the image's files in each part of the folder.
        image: The id of the image.
        path: Its file.
        frame: The plane of the file, or None.
        size: (H, W).
        pixel_size_um: Micrometres per pixel (row, column), or None.
        revision: The number of edits.
        done: Whether the person marked the image as finished.
        reviewed: The fraction of its pixels that a person reviewed.
        notes: The metadata of each cell, by its number.
        before: The SHA-256 of the run's label image when the corrections started, "" if none.
        seen: The SHA-256 of the image file when they started.
    """

    folder: Path
    place: str
    image: str
    path: Path
    frame: int | None
    size: tuple[int, int]
    pixel_size_um: PixelSize | None = None
    revision: int = 0
    done: bool = False
    reviewed: float = 0.0
    notes: Mapping[int, CellNote] = field(default_factory=dict, repr=False)
    before: str = ""
    seen: str = ""

    @property
    def labels_path(self) -> Path:
        """The path of the label image."""
        return place_in(self.folder, LABELS, self.place)

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types that occur, sorted; at least one."""
        return tuple(sorted({note.type for note in self.notes.values()})) or (NO_TYPE,)

    @property
    def is_reviewed(self) -> bool:
        """Whether any part is reviewed."""
        return self.done or self.reviewed > 0

    @property
    def is_whole(self) -> bool:
        """Whether everything is reviewed."""
        return self.done or self.reviewed >= 1

    def cells(self) -> NumberedCells:
        """Read the cells and their numbers; a cell without a model's score has the score NaN.

        Raises:
            FormatError: The label image is damaged or has another size.
            ImageError: It cannot be read.
        """
        labels = read_label_image(self.labels_path, size=self.size)
        return numbered(labels, self.notes, self.type_names, self.pixel_size_um)

    def ignored(self) -> NDArray[np.bool_] | None:
        """Read the pixels that were not reviewed, bool[H, W]; None if everything was.

        Raises:
            FormatError: The file is damaged or has another size.
            ImageError: It cannot be read.
        """
        if self.is_whole:
            return None
        from bigkingxxl.io.annotations.ignore_masks import REVIEWED as KIND
        from bigkingxxl.io.annotations.ignore_masks import read_ignore_mask

        return read_ignore_mask(place_in(self.folder, REVIEWED, self.place), KIND, self.size)


def numbered(
    labels: NDArray[Any], notes: Mapping[int, CellNote], type_names: tuple[str, ...],
    pixel_size_um: PixelSize | None,
) -> NumberedCells:  # fmt: skip
    """Return the cells of a label map [H, W] with their metadata."""
    found = Instances.from_label_map(labels)
    first = found.runs[found.splits[:-1]].astype(np.int64)
    numbers = labels.ravel()[first[:, 0] * found.size[1] + first[:, 1]].astype(np.int64)
    known = [notes.get(number, CellNote("drawn")) for number in numbers.tolist()]
    kinds = {name: index for index, name in enumerate(type_names)}
    score = [np.nan if note.score is None else note.score for note in known]
    cells = Instances(
        found.runs, found.splits, found.size,
        np.array([kinds.get(note.type, 0) for note in known], np.int16), type_names,
        np.array(score, np.float32), pixel_size_um,
    )  # fmt: skip
    return NumberedCells(cells, numbers)


def place_in(folder: Path, part: str, place: str) -> Path:
    """Return the file of an image in a part of the folder."""
    ending = {LABELS: ".tif", CELLS: ".json", REVIEWED: ".png"}[part]
    inner = PurePosixPath(place)
    return folder / part / inner.with_name(f"{inner.name}{ending}")


def is_corrections(folder: Path) -> bool:
    """Return whether a folder contains corrections of the viewer."""
    return (folder / CORRECTIONS_FILE).is_file()


def begin_corrections(folder: Path, reading: Mapping[str, Any]) -> None:
    """Mark a folder as one of corrections and store how its images are opened.

    Raises:
        OutputError: It cannot be written.
    """
    write_text(folder / CORRECTIONS_FILE, json.dumps({"format": FORMAT, "reading": reading}) + "\n")


def reading_of(folder: Path) -> dict[str, Any]:
    """Read how the images of a folder of corrections are opened.

    Raises:
        FormatError: A newer version wrote the folder, or it is damaged.
    """
    path = folder / CORRECTIONS_FILE
    try:
        values = json.loads(path.read_bytes())
        found, reading = values["format"], values["reading"]
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise FormatError(f"{path} is damaged: {error}", file=path) from error
    if found != FORMAT or not isinstance(reading, dict):
        raise FormatError(
            f"{path} was written by another version ({found}), expected {FORMAT}",
            file=path,
            key="format",
            found=found,
            expected=FORMAT,
        )
    return reading


def corrected_images(folder: Path) -> Iterator[CorrectedImage]:
    """Yield the images with corrections, in the order of their paths.

    Raises:
        FormatError: A file is damaged.
    """
    top = folder / CELLS
    for path in sorted(top.rglob("*.json")):
        if not path.name.startswith("."):
            place = path.relative_to(top).as_posix().removesuffix(".json")
            yield _loaded(folder, place, path)


def corrected_image(folder: Path, place: str) -> CorrectedImage | None:
    """Read the corrections of an image; None if there are none.

    Raises:
        FormatError: The file is damaged.
    """
    path = place_in(folder, CELLS, place)
    return _loaded(folder, place, path) if path.is_file() else None


def _loaded(folder: Path, place: str, path: Path) -> CorrectedImage:
    try:
        values = json.loads(path.read_bytes())
        size, pixel_size = values["size"], values["pixel_size_um"]
        columns = values["cells"]
        notes = {
            int(number): CellNote(str(origin), str(kind), None if score is None else float(score))
            for number, origin, kind, score in zip(
                columns["id"], columns["origin"], columns["type"], columns["score"], strict=True
            )
        }
        return CorrectedImage(
            folder, place, str(values["image"]), _image_path(folder, values), values["frame"],
            (int(size[0]), int(size[1])),
            None if pixel_size is None else (float(pixel_size[0]), float(pixel_size[1])),
            int(values["revision"]), bool(values["done"]), float(values["reviewed"]), notes,
            str(values["before"]), str(values["seen"]),
        )  # fmt: skip
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise FormatError(f"{path} is damaged: {error}", file=path) from error


def _image_path(folder: Path, values: Mapping[str, Any]) -> Path:
    """Return the image file: relative to the folder, which may have moved with it, or absolute."""
    beside = Path(folder, str(values["beside"]))
    return beside if values["beside"] and beside.exists() else Path(str(values["path"]))


def write_corrected(
    image: CorrectedImage, labels: NDArray[Any], reviewed: NDArray[np.bool_]
) -> None:
    """Write the label image, the metadata of its cells, and the reviewed area.

    Args:
        image: The image with its metadata.
        labels: uint16 or uint32 [H, W].
        reviewed: bool[H, W].

    Raises:
        OutputError: A file cannot be written.
    """
    write_labels(image.labels_path, labels, image.pixel_size_um)
    shown = np.ones_like(reviewed) if image.done else reviewed
    _write_reviewed(place_in(image.folder, REVIEWED, image.place), shown)
    notes = sorted(image.notes.items())
    values = {
        "image": image.image, "path": str(image.path), "beside": _beside(image),
        "frame": image.frame, "size": image.size, "pixel_size_um": image.pixel_size_um,
        "revision": image.revision, "done": image.done, "reviewed": image.reviewed,
        "before": image.before, "seen": image.seen,
        "cells": {
            "id": [number for number, _ in notes],
            "origin": [note.origin for _, note in notes],
            "type": [note.type for _, note in notes],
            "score": [note.score for _, note in notes],
        },
    }  # fmt: skip
    content = json.dumps(values, separators=(",", ":")) + "\n"
    write_text(place_in(image.folder, CELLS, image.place), content)


def _beside(image: CorrectedImage) -> str:
    """Return the path of the image relative to the folder, "" if they are on different disks."""
    try:
        return Path(os.path.relpath(image.path.resolve(), image.folder.resolve())).as_posix()
    except ValueError:
        return ""


def _write_reviewed(path: Path, reviewed: NDArray[np.bool_]) -> None:
    from PIL import Image

    content = BytesIO()
    Image.fromarray(reviewed.astype(np.uint8) * WHITE).save(content, "PNG", compress_level=1)
    write_bytes(path, content.getvalue())
