"""The Kaggle layout: `train.csv` beside `train/`, optionally `fields.csv` and more images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.data.base import Dataset, check_claim
from bigkingxxl.errors import FormatError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import KaggleTable, read_annotations
from bigkingxxl.io.images.folders import images_in
from bigkingxxl.io.tables.csv_table import BadRows, read_table

ANNOTATIONS, IMAGES = "train.csv", "train"
UNLABELLED, FIELDS = "train_semi_supervised", "fields.csv"


def is_kaggle(folder: Path) -> bool:
    """Return whether a folder contains a `train.csv`."""
    return (folder / ANNOTATIONS).is_file()


@dataclass(frozen=True, eq=False)
class KaggleImages:
    """Reads the cells of images."""

    table: KaggleTable
    paths: Mapping[str, Path]

    def instances(self, image_id: str) -> Instances:
        """Read the cells of an image after checking its size against the table."""
        check_claim(self.paths[image_id], self.table.sizes[image_id])
        return self.table.instances(image_id)


def open_kaggle(folder: Path, *, skip_bad: bool = False) -> Dataset:
    """Open a folder with `train.csv` and `train/<id>.png` (or another image ending).

    `train_semi_supervised/` holds the unlabelled images. `fields.csv` (id, field) gives the column
    'field', which is the same for images of one field of view.

    Raises:
        FormatError: A row of `train.csv` is bad, or names an image that is not in `train/`.
    """
    table = read_annotations(folder / ANNOTATIONS, skip_bad=skip_bad)
    images = folder / IMAGES
    if not images.is_dir():
        raise FormatError(
            f"{folder} contains {ANNOTATIONS} but no folder {IMAGES}/ with the images",
            file=folder,
            expected=IMAGES,
        )
    there = {path.stem: path for path in images_in(images)}
    bad = BadRows(table.path, skip_bad, list(table.skipped))
    for image_id in table.ids:
        if image_id not in there:
            bad.add(table.lines[image_id], f"image {image_id} is not in {images}")
    ids = tuple(image_id for image_id in table.ids if image_id in there)
    if not ids:
        raise FormatError(
            f"{images} contains none of the images that {table.path} names",
            file=images,
            expected=table.path,
        )
    unlabelled = folder / UNLABELLED
    return Dataset(
        layout="kaggle",
        root=folder,
        ids=ids,
        type_names=table.type_names,
        paths={image_id: there[image_id] for image_id in ids},
        read_instances=KaggleImages(table, there).instances,
        columns={**table.extra, **read_fields(folder, ids)},
        unlabelled=tuple(images_in(unlabelled)) if unlabelled.is_dir() else (),
        skipped=tuple(bad.messages),
    )


def read_fields(folder: Path, ids: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Read the column 'field' of `fields.csv`, if it exists; an image that it omits is alone.

    Raises:
        FormatError: The file has no column id or field.
    """
    path = folder / FIELDS
    if not path.is_file():
        return {}
    columns = read_table(path, ("id", "field")).columns
    named = dict(zip(columns["id"], columns["field"], strict=True))
    return {"field": {image_id: named.get(image_id, image_id) for image_id in ids}}
