"""The layout of images with an annotation file each, in any format of `io.annotations.registry`.

The annotation lies beside its image (`x.png` with `x_masks.tif`, `x_seg.npy`, `x.zip`, `x.geojson`
...; `000_img.png` with `000_masks.png`), or in a folder beside `images/`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.cell_types_table import CellTypes, read_cell_types
from bigkingxxl.data.layouts.annotated_files import AnnotatedFiles, types_in
from bigkingxxl.data.layouts.tree import (
    LEFT_BY_PROGRAMS,
    files_below,
    files_in,
    inner_folder,
    inner_name,
    is_image_name,
)
from bigkingxxl.errors import BigKingXXLError, FormatError
from bigkingxxl.io.annotations.ignore_masks import IGNORE, REVIEWED, ignore_mask_kind
from bigkingxxl.io.annotations.registry import FORMATS, AnnotationFile, annotation_file, json_kind
from bigkingxxl.io.images.folders import CELL_FOLDERS, IMAGE_FOLDERS
from bigkingxxl.io.images.image_files import read_header
from bigkingxxl.io.tables.csv_table import BadRows

IMAGE_ENDINGS = ("_img", "_image", "_im", "-img", "-image")
ORDER = tuple(FORMATS)


@dataclass
class Found:
    """The content of a folder.

    Attributes:
        images: The image file of each id.
        files: The annotation files of each id.
        lost: Annotations without an image.
        doubles: Images that would have the same id.
        notes: Sentences on what is not read.
    """

    images: dict[str, Path] = field(default_factory=dict)
    files: dict[str, list[AnnotationFile]] = field(default_factory=dict)
    lost: list[AnnotationFile] = field(default_factory=list)
    doubles: list[tuple[Path, Path]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_files(folder: Path) -> bool:
    """Return whether a folder contains images with annotations, directly or in `images/`."""
    return _label_folder(folder) is not None or bool(find_beside(files_in(folder), folder).files)


def is_nested_files(folder: Path) -> bool:
    """Return whether a subfolder contains images with annotations beside them."""
    return bool(find_beside(files_below(folder), folder).files)


def open_files(folder: Path, *, skip_bad: bool = False) -> Dataset:
    """Open a folder of images with annotations; `cell_types.csv` may give their types.

    Images without annotations are unlabelled.

    Raises:
        FormatError: An annotation has no image, two images have the same name, or `cell_types.csv`
            omits images.
    """
    found = find_in_folders(folder) or find_beside(files_in(folder), folder)
    found.notes += [f"{path} (COCO) is not read, as the annotations of single images are"
                    for path in files_in(folder)
                    if path.suffix.lower() == ".json" and json_kind(path) == "coco"]  # fmt: skip
    return dataset_of(folder, found, skip_bad=skip_bad)


def open_nested_files(folder: Path, *, skip_bad: bool = False) -> Dataset:
    """Open nested folders of images with annotations; an id is the path from the folder."""
    return dataset_of(folder, find_beside(files_below(folder), folder), skip_bad=skip_bad)


def find_in_folders(folder: Path) -> Found | None:
    """Find images in `images/`, and annotations in a folder beside it or beside the images."""
    images, labels = _image_folder(folder), _label_folder(folder)
    if images is None or labels is None:
        return None
    return match_folders(folder, images, labels)


def match_folders(folder: Path, images: Path, labels: Path) -> Found:
    """Match images and annotations in two folders by name, or by path within the folder."""
    found = Found()
    among = [path for path in files_below(labels) if not _is_left_over(path)]
    there = [path for path in files_below(images) if is_image_name(path)]
    annotated = {inner_name(path, labels) for path in among}
    for path in _without_own_labels(there, images, annotated):
        _add_image(found, inner_name(path, images), path)
    names = _names(found.images)
    for path in among:
        file = annotation_file(path, among_labels=True)
        if file is not None:
            _add_file(found, file, names, inner_folder(path, labels))
    taken = set(found.images.values())
    for path in files_below(images):
        file = None if path in taken or _is_mark(path, images, names) else annotation_file(path)
        if file is not None and not is_image_name(path):
            _add_file(found, file, names, inner_folder(path, images))
    for other in _children(folder, CELL_FOLDERS):
        if not other.samefile(labels):
            found.notes.append(f"{other} is not read, as {labels} is")
    return found


def find_beside(paths: Iterable[Path], folder: Path) -> Found:
    """Find images with their annotations beside them."""
    found = Found()
    paths = [path for path in paths if not _is_left_over(path)
             and path.relative_to(folder).parts[0] not in (IGNORE, REVIEWED)]  # fmt: skip
    for path in _without_own_labels([path for path in paths if is_image_name(path)], folder):
        _add_image(found, inner_name(path, folder), path)
    names, taken = _names(found.images), set(found.images.values())
    for path in paths:
        file = None if path in taken or _is_mark(path, folder, names) else annotation_file(path)
        if file is not None:
            _add_file(found, file, names, inner_folder(path, folder))
    return found


def _is_mark(path: Path, folder: Path, names: Mapping[str, str]) -> bool:
    """Return whether a file marks pixels that are not annotated; see `ignore_masks`."""
    mark = ignore_mask_kind(path)
    return mark is not None and inner_name(path, folder, mark[0]) in names


def _is_left_over(path: Path) -> bool:
    return is_image_name(path) and path.stem.endswith(LEFT_BY_PROGRAMS)


def _without_own_labels(
    paths: Sequence[Path], folder: Path, annotated: Collection[str] = ()
) -> list[Path]:
    """Drop the label images and masks of ignored pixels that belong to other images.

    Args:
        paths: The files.
        folder: The folder.
        annotated: Names that certainly are images.
    """
    ids = {inner_name(path, folder) for path in paths}
    names = _names(ids)

    def belongs(path: Path) -> bool:
        mark = ignore_mask_kind(path)
        file = annotation_file(path)
        bases = [*(file.names if file else ()), *([mark[0]] if mark else [])]
        own = inner_name(path, folder)
        return own not in annotated and any(
            names.get(inner_name(path, folder, base), own) != own for base in bases
        )

    return [path for path in paths if not belongs(path)]


def _names(ids: Iterable[str]) -> dict[str, str]:
    """Return the id for each name: itself, or without `_img`."""
    ids = list(ids)
    names = {
        image_id.removesuffix(ending): image_id
        for image_id in ids
        for ending in IMAGE_ENDINGS
        if image_id.endswith(ending)
    }
    return {**names, **{image_id: image_id for image_id in ids}}


def _add_image(found: Found, image_id: str, path: Path) -> None:
    first = found.images.setdefault(image_id, path)
    if first != path:
        found.doubles.append((first, path))


def _add_file(found: Found, file: AnnotationFile, names: Mapping[str, str], within: str) -> None:
    """Assign an annotation to its image; `within` precedes its name, see `tree`."""
    image_id = next((names[within + name] for name in file.names if within + name in names), None)
    if not file.names:
        near = [each for each in found.images if each.startswith(within)
                and "/" not in each[len(within):]]  # fmt: skip
        image_id = near[0] if len(near) == 1 else None
    if image_id is not None:
        found.files.setdefault(image_id, []).append(file)
    elif file.is_certain:
        found.lost.append(file)
    elif file.format == "imagej":
        found.notes.append(f"{file.path} is not read: there is no image of this name next to it")


def _children(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the subfolders with these names in any case, in the order of the names."""
    there = [path for path in sorted(folder.iterdir())
             if path.name.lower() in names and path.is_dir()]  # fmt: skip
    return sorted(there, key=lambda path: names.index(path.name.lower()))


def _image_folder(folder: Path) -> Path | None:
    return next(iter(_children(folder, IMAGE_FOLDERS)), None)


def _label_folder(folder: Path) -> Path | None:
    """Return the first folder beside `images/` that contains annotations, one file per image."""
    if _image_folder(folder) is None:
        return None
    for place in _children(folder, CELL_FOLDERS):
        if any(annotation_file(path, among_labels=True) for path in files_below(place)):
            return place
    return None


def dataset_of(
    folder: Path,
    found: Found,
    *,
    skip_bad: bool,
    layout: str = "pairs",
    types: CellTypes | None = None,
) -> Dataset:
    """Create a data set of the content of a folder.

    Args:
        folder: The folder.
        found: Its content.
        skip_bad: See `open_dataset`.
        layout: The name of the layout.
        types: The cell types; by default those of the folder's `cell_types.csv`.

    Raises:
        FormatError: See `open_files`.
    """
    bad = BadRows(folder, skip_bad)
    for first, second in found.doubles:
        bad.add_text(f"{first} and {second} are images of one name, expected names that differ")
    for file in found.lost:
        name = file.names[0] if file.names else "it"
        what = "a label image" if file.format == "labels" else "an annotation"
        bad.add_text(f"{file.path} is {what} of {name}, of which {folder} has no image")
    doubled = {path for pair in found.doubles for path in pair}
    ids = [image_id for image_id in sorted(found.files)
           if found.files[image_id] and found.images[image_id] not in doubled]  # fmt: skip
    types = read_cell_types(folder, ids) if types is None else types
    names, ids = _type_names(found, ids, types, bad)
    if not ids:
        raise FormatError(f"{folder} contains no image that has an annotation", file=folder)
    files = {image_id: tuple(sorted(found.files[image_id], key=_rank)) for image_id in ids}
    reader = AnnotatedFiles(found.images, files, names, types)
    return Dataset(
        layout=layout,
        root=folder,
        ids=tuple(ids),
        type_names=names,
        paths={image_id: found.images[image_id] for image_id in ids},
        read_instances=reader.instances,
        read_ignored=reader.ignored,
        unlabelled=tuple(path for image_id, path in found.images.items() if image_id not in files),
        skipped=tuple(bad.messages),
        notes=tuple(found.notes),
    )


def _rank(file: AnnotationFile) -> int:
    """Return a sort key that puts the most informative formats first."""
    return ORDER.index(file.format) if file.format in ORDER else len(ORDER)


def _type_names(
    found: Found, ids: Sequence[str], types: CellTypes, bad: BadRows
) -> tuple[tuple[str, ...], list[str]]:
    """Return all types, and the images whose files can be read as far as types require it."""
    named: set[str] = set()
    kept, untyped = [], False
    for image_id in ids:
        files = sorted(found.files[image_id], key=_rank)
        untyped |= not _names_types(files[0])
        try:
            for file in filter(_names_types, files):
                named.update(types_in(file.read(read_header(found.images[image_id]).shape)))
        except BigKingXXLError as error:
            bad.add_text(str(error))
            continue
        kept.append(image_id)
    if untyped or not named:
        named.update(types.names)
    return tuple(sorted(named)), kept


def _names_types(file: AnnotationFile) -> bool:
    return file.format in FORMATS and FORMATS[file.format].names_types
