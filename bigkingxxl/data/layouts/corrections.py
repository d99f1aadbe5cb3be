"""The viewer's folder of corrections, as a data set of the reviewed images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bigkingxxl.data.base import Dataset, Ignored
from bigkingxxl.data.layouts.annotated_files import with_types
from bigkingxxl.data.layouts.reading import OPTIONS, opened
from bigkingxxl.errors import BigKingXXLError, FormatError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.corrections import CorrectedImage, corrected_images, reading_of
from bigkingxxl.io.tables.csv_table import BadRows


def open_corrections(folder: Path, *, skip_bad: bool = False) -> Dataset:
    """Open the images that were reviewed at least in part, with their current cells.

    Raises:
        FormatError: Nothing was reviewed, or an image or a file is missing or damaged.
    """
    reading = reading_of(folder)
    bad = BadRows(folder, skip_bad)
    images: dict[str, CorrectedImage] = {}
    unseen = 0
    for image in corrected_images(folder):
        if not image.is_reviewed:
            unseen += 1
        elif not image.path.exists():
            bad.add_text(f"{image.path}, whose cells are in {folder}, no longer exists")
        else:
            images[image.image] = image
    if not images:
        raise FormatError(
            f"{folder} contains no image with reviewed parts: in `bigkingxxl view`, mark what you "
            "have checked, or mark an image as done",
            file=folder,
        )
    kept = [name for name, image in images.items() if _is_readable(image, bad)]
    if not kept:
        raise FormatError(f"{folder} contains no cells that can be read", file=folder)
    names = tuple(dict.fromkeys(kind for name in kept for kind in images[name].type_names))
    reader = _Corrected(images, names)
    options = {name: reading[name] for name in OPTIONS if reading.get(name) is not None}
    parts = {name for name in kept if options or images[name].frame is not None}
    notes = [f"{len(kept)} images of {folder} were reviewed, {reader.partly(kept)} of them in part"]
    if unseen:
        notes.append(f"of {unseen} corrected images nothing was reviewed: they are left out")
    paths = {name: images[name].path for name in kept}
    return Dataset(
        layout="corrections", root=folder, ids=tuple(kept), type_names=names, paths=paths,
        read_instances=reader.instances, read_ignored=reader.ignored,
        read_source=partial(opened, paths, options) if parts else None, is_part=parts.__contains__,
        skipped=tuple(bad.messages), notes=tuple(notes),
    )  # fmt: skip


def _is_readable(image: CorrectedImage, bad: BadRows) -> bool:
    try:
        image.cells()
    except BigKingXXLError as error:
        bad.add_text(str(error))
        return False
    return True


@dataclass(frozen=True, eq=False)
class _Corrected:
    images: Mapping[str, CorrectedImage]
    type_names: tuple[str, ...]

    def instances(self, image_id: str) -> Instances:
        """Read the cells of an image, with types among `type_names`."""
        return with_types(annotated(self.images[image_id]), self.type_names)

    def ignored(self, image_id: str) -> Ignored | None:
        """Return the pixels that were not reviewed."""
        return self.images[image_id].ignored()

    def partly(self, names: list[str]) -> int:
        """Count the images that were reviewed in part."""
        return sum(not self.images[name].is_whole for name in names)


def annotated(image: CorrectedImage) -> Instances:
    """Return the cells as annotations: a cell without a model's score is certain."""
    cells = image.cells().instances
    score = np.ones(len(cells)) if cells.score is None else np.nan_to_num(cells.score, nan=1.0)
    return replace(cells, score=score.astype(np.float32))
