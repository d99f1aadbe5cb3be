"""The COCO layout: an annotation file and the images that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.data.base import Dataset, Ignored, check_claim
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import CocoSet, read_coco
from bigkingxxl.io.annotations.registry import json_kind
from bigkingxxl.io.tables.csv_table import BadRows

PLACES = (".", "annotations")
IMAGE_FOLDERS = ("images", "train", "images/default")
# Label Studio prefixes file names with the number of an upload.
UPLOAD = re.compile(r"^[0-9a-f]{8}-")


def annotation_files(folder: Path) -> list[Path]:
    """Return the COCO annotation files of a folder, sorted."""
    places = [folder / place for place in PLACES]
    files = (path for place in places if place.is_dir() for path in place.glob("*.json"))
    return sorted(path for path in files if path.is_file() and _is_meant(path))


def _is_meant(path: Path) -> bool:
    # A file with this name that is something else is refused with a reason.
    return json_kind(path) == "coco" or path.name.startswith("annotations")


@dataclass(frozen=True, eq=False)
class CocoImages:
    """Reads the cells of images."""

    coco: CocoSet
    paths: dict[str, Path]

    def instances(self, image_id: str) -> Instances:
        """Read the cells of an image after checking its size against the file."""
        check_claim(self.paths[image_id], self.coco.sizes[image_id])
        return self.coco.instances(image_id)

    def ignored(self, image_id: str) -> Ignored | None:
        """Return the pixels of crowd regions."""
        check_claim(self.paths[image_id], self.coco.sizes[image_id])
        return self.coco.ignored(image_id)


def open_coco(path: Path, *, skip_bad: bool = False) -> Dataset:
    """Open a COCO annotation file, or a folder with exactly one.

    Images are searched beside the file, in `images/` or `train/` there, and in the parent folder.

    Raises:
        InputError: The folder contains several annotation files.
        FormatError: The file violates the COCO format, or names an image that does not exist.
    """
    if path.is_dir():
        files = annotation_files(path)
        if len(files) > 1:
            names = ", ".join(str(file.relative_to(path)) for file in files)
            raise InputError(
                f"{path} contains several annotation files ({names}): name one of them",
                file=path,
                expected=names,
            )
        return open_coco(files[0], skip_bad=skip_bad)
    bad = BadRows(path, skip_bad)
    coco = read_coco(path, bad.add_text if skip_bad else None)
    paths = dict(_find_images(coco, bad))
    if not paths:
        raise FormatError(f"{path} names no image that is there", file=path)
    reader = CocoImages(coco, paths)
    return Dataset(
        layout="coco",
        root=path,
        ids=tuple(paths),
        type_names=coco.type_names,
        paths=paths,
        read_instances=reader.instances,
        read_ignored=reader.ignored,
        skipped=tuple(bad.messages),
        notes=coco.notes,
    )


def _find_images(coco: CocoSet, bad: BadRows) -> Iterator[tuple[str, Path]]:
    """Yield the image file of each id."""
    near = coco.path.parent
    split = coco.path.stem.rpartition("_")[2]
    folders = [
        base / name if name else base
        for base in (near, near.parent)
        for name in ("", *IMAGE_FOLDERS, f"images/{split}", split)
    ]
    taken: dict[Path, str] = {}
    for image_id in coco.ids:
        name = coco.file_names[image_id].replace("\\", "/")
        # A name from another machine may contain its folders.
        last = name.rsplit("/", 1)[-1]
        names = (name, last, UPLOAD.sub("", last))
        places = (folder / each for each in names for folder in folders)
        found = next((place for place in places if _is_there(place)), None)
        if found is None:
            bad.add_text(
                f"{coco.path} names the image {name}, which is neither in the same folder nor in "
                f"{' or '.join(f'{folder}/' for folder in IMAGE_FOLDERS)}"
            )
        elif (first := taken.setdefault(found, name)) != name:
            bad.add_text(
                f"{coco.path} names the images {first} and {name}, of which only {found} is there"
            )
        else:
            yield image_id, found


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long or contains a null byte
        return False
