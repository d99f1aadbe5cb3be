"""COCO's layout on disk: one annotation file and the images it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.io.annotations.coco import CocoSet, read_coco
from bigkingxxl.io.tables.csv_table import BadRows

PATTERNS = ("annotations*.json", "annotations/*.json")
IMAGE_FOLDERS = ("images", "train")


def annotation_files(folder: Path) -> list[Path]:
    """The COCO annotation files that a folder may be meant by, sorted."""
    return sorted(path for pattern in PATTERNS for path in folder.glob(pattern))


def open_coco(path: Path, *, skip_bad: bool = False) -> Dataset:
    """A COCO annotation file, or the folder of the only one.

    Images are looked for beside the file, in `images/` or `train/` there, and one folder up.

    Raises:
        InputError: the folder holds several annotation files.
        FormatError: the file breaks COCO's rules, or names an image that is not there.
    """
    if path.is_dir():
        files = annotation_files(path)
        if len(files) > 1:
            names = ", ".join(str(file.relative_to(path)) for file in files)
            raise InputError(f"{path} holds several annotation files ({names}): name one of them")
        return open_coco(files[0], skip_bad=skip_bad)
    coco = read_coco(path)
    bad = BadRows(path, skip_bad)
    paths = dict(_find_images(coco, bad))
    if not paths:
        raise FormatError(f"{path} names no image that is there")
    return Dataset(
        layout="coco",
        root=path,
        ids=tuple(paths),
        type_names=coco.type_names,
        paths=paths,
        read_instances=coco.instances,
        skipped=tuple(bad.messages),
    )


def _find_images(coco: CocoSet, bad: BadRows) -> Iterator[tuple[str, Path]]:
    """The image file of each id."""
    near = coco.path.parent
    folders = [
        base / name if name else base
        for base in (near, near.parent)
        for name in ("", *IMAGE_FOLDERS)
    ]
    for image_id in coco.ids:
        name = coco.file_names[image_id].replace("\\", "/")
        # A name from another machine may carry its folders.
        names = (name, name.rsplit("/", 1)[-1])
        places = (folder / each for each in names for folder in folders)
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            bad.add_text(
                f"{coco.path} names the image {name}, which is neither beside it nor in "
                f"{' or '.join(f'{folder}/' for folder in IMAGE_FOLDERS)}"
            )
        else:
            yield image_id, found
