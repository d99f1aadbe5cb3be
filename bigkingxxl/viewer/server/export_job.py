"""Exporting the cells as they are now in every format of `predict` and `measure`."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bigkingxxl import rle
from bigkingxxl.candidates import Candidates
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError
from bigkingxxl.files import make_folder, whole_file
from bigkingxxl.instances import NO_TYPE, Instances
from bigkingxxl.io.annotations.corrections import numbered
from bigkingxxl.io.annotations.label_images import write_labels
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.document import Document, compact, notes_of
from bigkingxxl.viewer.server.job_status import Finished, Report
from bigkingxxl.viewer.server.session import Session
from bigkingxxl.viewer.server.workspace import KnownImage

if TYPE_CHECKING:
    from bigkingxxl.io.tables.summary import ImageSummary
    from bigkingxxl.runs.outputs import PredictedImage

EXPORTS = "exports"  # within the folder of corrections


class ExportJob:
    """Writes formats into a new folder, which no later export overwrites."""

    kind: wire.JobKind = "export"
    can_resume = False

    def __init__(self, session: Session, formats: Sequence[str]) -> None:
        self.session, self.formats = session, tuple(formats)
        self.folder: Path | None = None

    def run(self, report: Report) -> Finished:
        """See `Job`."""
        from bigkingxxl.runs.outputs import IMAGE_FORMATS, RUN_FORMATS, RunParts

        self.session.store.claim()
        self.folder = folder = _new_folder(self.session.store.folder / EXPORTS)
        images = [image for image in self.session.images() if image.state == "ready"]
        parts: dict[str, dict[str, Path]] = {}
        rows: dict[str, ImageSummary] = {}
        failed: list[str] = []
        columns: dict[str, None] = {}
        for index, known in enumerate(images):
            report.step(index, len(images), f"exporting {known.name}")
            try:
                image, document = self._image(known)
            except InputError as error:
                failed.append(str(error))
                continue
            rows[known.name] = _row(known, image)
            for name in self.formats:
                if name not in IMAGE_FORMATS:
                    continue
                place = IMAGE_FORMATS[name].place(folder, known.name)
                _write(name, place, image, document)
                parts.setdefault(name, {})[known.name] = place
                if name == "measurements":
                    columns.update(dict.fromkeys(image.measurements))
        if not rows:
            raise InputError(failed[0] if failed else "there is no image with cells to export")
        types = tuple(dict.fromkeys(name for row in rows.values() for name in row.by_type))
        counts = {name: row.cells or 0 for name, row in rows.items()}
        for name in self.formats:
            if name in RUN_FORMATS:
                places = [folder / file for file in RUN_FORMATS[name].files]
                RUN_FORMATS[name].write(places, RunParts(
                    lambda: iter(rows.values()), parts.get(name, {}), counts, types, tuple(columns)
                ))  # fmt: skip
        top = self.session.workspace.folder
        files = tuple(path.relative_to(folder).as_posix() for path in _files(folder))
        shown = folder.relative_to(top).as_posix() if folder.is_relative_to(top) else str(folder)
        left = f"; {len(failed)} could not be exported: {failed[0]}" if failed else ""
        return Finished(f"{counted(len(rows), 'image')} exported into {shown}{left}", files)

    def _image(self, known: KnownImage) -> tuple[PredictedImage, Document]:
        from bigkingxxl.runs.outputs import PredictedImage

        source = self.session.workspace.open(known).source
        with self.session.store.document(known) as held:
            document = Document(
                held.document.labels, dict(held.document.cells), held.document.reviewed
            )
        names = tuple(sorted({cell.type for cell in document.cells.values()})) or (NO_TYPE,)
        cells = numbered(document.labels, notes_of(document.cells), names, source.pixel_size_um)
        image = PredictedImage(
            source, cells, known.path, known.name, lambda: sure_candidates(cells.instances),
            known.frame,
        )  # fmt: skip
        return image, document

    def archive(self) -> bytes:
        """Return all files as a zip archive.

        Raises:
            InputError: The files are gone.
        """
        if self.folder is None or not self.folder.is_dir():
            raise InputError("the exported files are no longer there")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in _files(self.folder):
                inner = Path(self.folder.name) / path.relative_to(self.folder)
                archive.write(path, inner.as_posix())
        return content.getvalue()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _new_folder(top: Path) -> Path:
    name = time.strftime("%Y-%m-%d_%H%M%S")
    for number in range(1, 1000):
        folder = top / (name if number == 1 else f"{name}_{number}")
        if not folder.exists():
            return make_folder(folder)
    raise InputError(f"{top} already contains too many exports of this second", file=top)


def _write(name: str, place: Path, image: PredictedImage, document: Document) -> None:
    from bigkingxxl.runs.outputs import IMAGE_FORMATS

    if name == "labels":  # keep the numbers that the page and all tables show
        size_um = image.source.pixel_size_um
        write_labels(place, compact(document.labels), size_um)
        return
    with whole_file(place) as temporary:
        IMAGE_FORMATS[name].write(temporary, image)


def _row(known: KnownImage, image: PredictedImage) -> Any:
    from bigkingxxl.io.tables.summary import summarise

    return summarise(known.name, image.instances, warnings=known.warnings)


def sure_candidates(cells: Instances) -> Candidates:
    """Return cells as certain candidates; an unknown score becomes 1."""
    owner, flat = cells.pixels()
    boxes = cells.boxes()
    row, col = np.divmod(flat, max(cells.size[1], 1))
    heights, widths = boxes[:, 2] - boxes[:, 0], (boxes[:, 3] - boxes[:, 1]).astype(np.int64)
    offsets = rle.split_points(heights.astype(np.int64) * widths)
    probability = np.zeros(int(offsets[-1]), np.uint8)
    place = offsets[owner] + (row - boxes[owner, 0]) * widths[owner] + col - boxes[owner, 1]
    probability[place] = 255
    score = np.ones(len(cells), np.float32) if cells.score is None else cells.score
    shares = np.zeros((len(cells), len(cells.type_names)), np.float32)
    shares[np.arange(len(cells)), cells.cell_type] = 1
    return Candidates(
        cells.size, boxes, probability, offsets, np.nan_to_num(score, nan=1.0).astype(np.float32),
        shares, cells.type_names,
    )  # fmt: skip
