"""Cells that a person corrected in the viewer, image by image, beside what was found before.

    corrections.json            says what the folder is, and how its images are opened
    labels/<image>.tif          the cells as they are now, every one with a number of its own
    cells/<image>.json          which image that is, and what is known of each cell and of the image
    reviewed/<image>.png        white where a person looked
    journal/                    how it came to that, the viewer's own

Each file appears whole or not at all; the journal is the truth, and the viewer makes the others
anew from it where a crash came between them.
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
    """What is known of a cell beside its pixels.

    Attributes:
        origin: 'model', 'edited' (a model's, whose pixels a person changed) or 'drawn'.
        type: its type, "" where not known; score: the model's, or None.
    """

    origin: str
    type: str = NO_TYPE
    score: float | None = None


@dataclass(frozen=True)
class CorrectedImage:
    """One image and what a person made of its cells.

    Attributes:
        folder: of the corrections; place: of the image's files in its parts.
        image: the image's id; path: its file; frame: which plane of it, or None.
        size: (H, W); pixel_size_um: micrometres (row, column), or None.
        revision: how many edits there were; done: the person said that all of it is right.
        reviewed: the share of its pixels that a person reviewed.
        notes: of each cell, by its number.
        before: SHA-256 of the run's label image that the corrections began with, "" where none.
        seen: SHA-256 of the image's file when they began.
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
        """The label image."""
        return place_in(self.folder, LABELS, self.place)

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types that occur, sorted; one at least."""
        return tuple(sorted({note.type for note in self.notes.values()})) or (NO_TYPE,)

    @property
    def is_reviewed(self) -> bool:
        """Whether any of it is reviewed."""
        return self.done or self.reviewed > 0

    @property
    def is_whole(self) -> bool:
        """Whether all of it is reviewed."""
        return self.done or self.reviewed >= 1

    def cells(self) -> NumberedCells:
        """The cells and their numbers; the score of one that no model scored is NaN.

        Raises:
            FormatError, ImageError: the label image is damaged, gone, or of another size.
        """
        labels = read_label_image(self.labels_path, size=self.size)
        return numbered(labels, self.notes, self.type_names, self.pixel_size_um)

    def ignored(self) -> NDArray[np.bool_] | None:
        """bool[H, W]: what nobody reviewed; None where all is.

        Raises:
            FormatError, ImageError: the file is damaged, gone, or of another size.
        """
        if self.is_whole:
            return None
        from bigkingxxl.io.annotations.ignored import REVIEWED as KIND
        from bigkingxxl.io.annotations.ignored import read_mark

        return read_mark(place_in(self.folder, REVIEWED, self.place), KIND, self.size)


def numbered(
    labels: NDArray[Any], notes: Mapping[int, CellNote], type_names: tuple[str, ...],
    pixel_size_um: PixelSize | None,
) -> NumberedCells:  # fmt: skip
    """The cells of a label map [H, W] with what is known of each."""
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
    """The file of an image in a part of the folder."""
    ending = {LABELS: ".tif", CELLS: ".json", REVIEWED: ".png"}[part]
    inner = PurePosixPath(place)
    return folder / part / inner.with_name(f"{inner.name}{ending}")


def is_corrections(folder: Path) -> bool:
    """True for a folder that the viewer wrote corrections into."""
    return (folder / CORRECTIONS_FILE).is_file()


def begin_corrections(folder: Path, reading: Mapping[str, Any]) -> None:
    """Say what a folder is, and how its images are opened.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(folder / CORRECTIONS_FILE, json.dumps({"format": FORMAT, "reading": reading}) + "\n")


def reading_of(folder: Path) -> dict[str, Any]:
    """How the images of a folder of corrections are opened.

    Raises:
        FormatError: a newer version wrote it, or it is damaged.
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
    """The images with corrections, in the order of their places.

    Raises:
        FormatError: a file is damaged.
    """
    top = folder / CELLS
    for path in sorted(top.rglob("*.json")):
        if not path.name.startswith("."):
            place = path.relative_to(top).as_posix().removesuffix(".json")
            yield _loaded(folder, place, path)


def corrected_image(folder: Path, place: str) -> CorrectedImage | None:
    """The corrections of one image, None where there are none.

    Raises:
        FormatError: the file is damaged.
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
    """The image's file: where it lies from the folder, which may have moved with it, or did lie."""
    beside = Path(folder, str(values["beside"]))
    return beside if values["beside"] and beside.exists() else Path(str(values["path"]))


def write_corrected(
    image: CorrectedImage, labels: NDArray[Any], reviewed: NDArray[np.bool_]
) -> None:
    """Write the label image, what is known of its cells, and what was reviewed.

    Args:
        labels: uint16 or uint32 [H, W]; reviewed: bool[H, W].

    Raises:
        OutputError: a file cannot be written.
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
    """The image's path from the folder, "" where they lie on different disks."""
    try:
        return Path(os.path.relpath(image.path.resolve(), image.folder.resolve())).as_posix()
    except ValueError:
        return ""


def _write_reviewed(path: Path, reviewed: NDArray[np.bool_]) -> None:
    from PIL import Image

    content = BytesIO()
    Image.fromarray(reviewed.astype(np.uint8) * WHITE).save(content, "PNG", compress_level=1)
    write_bytes(path, content.getvalue())
