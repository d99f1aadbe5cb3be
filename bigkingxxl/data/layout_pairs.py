"""Pairs of image and label image: `x.png` beside `x_masks.tif`, or `images/` beside `labels/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bigkingxxl.data.base import Dataset
from bigkingxxl.errors import FormatError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.label_images import image_name, read_label_folder, read_label_image
from bigkingxxl.io.images.image_files import MASK_ENDINGS, all_images_in, images_in
from bigkingxxl.io.tables.csv_table import BadRows, read_table

IMAGES, LABELS = "images", ("labels", "masks")
CELL_TYPES = "cell_types.csv"
UNNAMED_TYPE = "cell"


@dataclass(frozen=True)
class LabelFiles:
    """Reads the cells of an image from its label image; all are of the image's one type."""

    paths: Mapping[str, Path]
    type_names: tuple[str, ...]
    types: Mapping[str, str]

    def instances(self, image_id: str) -> Instances:
        """The cells of an image, in the order of their labels."""
        labels = read_label_image(self.paths[image_id])
        cells = Instances.from_label_map(labels, type_names=self.type_names)
        kind = self.type_names.index(self.types.get(image_id, self.type_names[0]))
        return replace(cells, cell_type=np.full(len(cells), kind, np.int16))


def is_pairs(folder: Path) -> bool:
    """True where a folder holds pairs of image and label image."""
    return _label_folder(folder) is not None or bool(_marked(folder))


def open_pairs(folder: Path, *, skip_bad: bool = False) -> Dataset:
    """A folder of pairs. `cell_types.csv` (id, cell_type) may name the type of each image.

    Images without label image count as unlabelled.

    Raises:
        FormatError: a label image without image, or a `cell_types.csv` that leaves images out.
        InputError: two label images for one image.
    """
    labels = _label_folder(folder)
    images = folder if labels is None else folder / IMAGES
    if labels is None:
        there = {path.stem: path for path in images_in(folder)}
        found = read_label_folder(folder)
    else:
        there = {path.stem: path for path in all_images_in(images)}
        found = read_label_folder(labels, there)
    bad = BadRows(folder, skip_bad)
    for name in [name for name in found if name not in there]:
        bad.add_text(
            f"{found.pop(name)} is a label image of {name}, of which {images} has no image"
        )
    if not found:
        raise FormatError(f"{folder} holds no image that has a label image")
    types = _cell_types(folder, tuple(found))
    names = tuple(sorted(set(types.values()))) or (UNNAMED_TYPE,)
    return Dataset(
        layout="pairs",
        root=folder,
        ids=tuple(found),
        type_names=names,
        paths={name: there[name] for name in found},
        read_instances=LabelFiles(found, names, types).instances,
        unlabelled=tuple(path for stem, path in there.items() if stem not in found),
        skipped=tuple(bad.messages),
    )


def _label_folder(folder: Path) -> Path | None:
    """`labels/` (or `masks/`) where it stands beside `images/`."""
    if not (folder / IMAGES).is_dir():
        return None
    return next((folder / name for name in LABELS if (folder / name).is_dir()), None)


def _marked(folder: Path) -> list[Path]:
    """Label images that stand beside their images."""
    paths = all_images_in(folder)
    stems = {path.stem for path in paths}
    marked = (path for path in paths if path.stem.endswith(MASK_ENDINGS))
    return [path for path in marked if image_name(path) in stems]


def _cell_types(folder: Path, ids: tuple[str, ...]) -> dict[str, str]:
    path = folder / CELL_TYPES
    if not path.is_file():
        return {}
    columns = read_table(path, ("id", "cell_type")).columns
    types = dict(zip(columns["id"], columns["cell_type"], strict=True))
    missing = next((image_id for image_id in ids if not types.get(image_id)), None)
    if missing is not None:
        raise FormatError(f"{path} names no cell type for image {missing}")
    return {image_id: types[image_id] for image_id in ids}
