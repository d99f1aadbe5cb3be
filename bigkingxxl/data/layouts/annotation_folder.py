"""Find annotation files in a folder for images that are known by name and stored elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bigkingxxl.data.layouts.annotated_files import check_agreement
from bigkingxxl.data.layouts.tree import files_below, inner_folder
from bigkingxxl.file_names import place_of
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.registry import FORMATS, AnnotationFile, annotation_file

RESULT_FRAME = re.compile(r"mask(\d{3,})")  # of the Cell Tracking Challenge's results, `01_RES`
RESULTS = "_RES"


@dataclass
class FoundAnnotations:
    """Annotation files by image.

    Attributes:
        files: One or several files per image, which must agree.
        unknown: Files that belong to no image.
        notes: Sentences that a reader should know.
    """

    files: dict[str, list[AnnotationFile]] = field(default_factory=dict)
    unknown: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def read(self, image_id: str, size: tuple[int, int]) -> Instances:
        """Read the cells of an image of size (H, W).

        Raises:
            FormatError: Its files violate their format or contradict each other.
            ImageError: A file cannot be read.
        """
        files = sorted(self.files[image_id], key=lambda file: list(FORMATS).index(file.format))
        found = [file.read(size) for file in files]
        check_agreement(image_id, files, found)
        return found[0]


def find_annotations(folder: Path, ids: Collection[str]) -> FoundAnnotations:
    """Find annotation files in a folder and its subfolders.

    A file belongs to the image with the same name; folders may differ if the last part of the name
    is unique.
    """
    found = FoundAnnotations()
    names = _Names(ids)
    for path in files_below(folder):
        file = annotation_file(path, among_labels=True)
        if file is None:
            continue
        image_id = names.of(inner_folder(path, folder), [*file.names, *_frame_name(path)])
        if image_id is None:
            found.unknown.append(path)
        else:
            found.files.setdefault(image_id, []).append(file)
    _keep_marked(found)
    return found


def _keep_marked(found: FoundAnnotations) -> None:
    """Ignore pictures with an image's own name if a label image is marked by its ending."""
    for image_id, files in found.files.items():
        marked = [file for file in files if len(file.names) > 1 or file.format != "labels"]
        if marked and len(files) > 1:
            found.files[image_id] = marked


def _frame_name(path: Path) -> Iterator[str]:
    match = RESULT_FRAME.fullmatch(path.stem)
    if match is not None:
        yield f"t{match[1]}"
        if path.parent.name.endswith(RESULTS):
            yield f"{path.parent.name.removesuffix(RESULTS)}/t{match[1]}"


class _Names:
    """Images by full name, and by the last part of the name if that is unique.

    A run escapes characters that are not valid in file names everywhere; these names count, too.
    """

    def __init__(self, ids: Collection[str]) -> None:
        plain = _unique(ids, _last_part)
        self.full = {str(place_of(each)): each for each in ids} | {each: each for each in ids}
        self.short = {str(place_of(name)): full for name, full in plain.items()} | plain

    def of(self, within: str, names: Iterable[str]) -> str | None:
        """Return the image of a file in a folder ('' or 'A/'), given its possible names."""
        names = list(names)
        whole = (within + name for name in names)
        exact = next((self.full[name] for name in [*whole, *names] if name in self.full), None)
        if exact is not None:
            return exact
        return next((self.short[name] for name in names if name in self.short), None)


def same_names(own: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Match names with known names, where that is unambiguous.

    Equal names match first; then those that are equal with folders as part of the name
    (`A1_x` for `A1/x`), as in formats without folders; then those with an equal last part. No name
    is matched twice.
    """
    left, unknown = dict.fromkeys(own), set(known)
    found: dict[str, str] = {}
    for key in (_as_it_is, _flat, _last_part):
        ours, theirs = _unique(left, key), _unique(unknown, key)
        new = {name: theirs[each] for each, name in ours.items() if each in theirs}
        found |= new
        left = dict.fromkeys(name for name in left if name not in new)
        unknown -= set(new.values())
    return found


def _as_it_is(name: str) -> str:
    return name


def _flat(name: str) -> str:
    return name.replace("/", "_")


def _last_part(name: str) -> str:
    return PurePosixPath(name).name


def _unique(names: Iterable[str], key: Callable[[str], str]) -> dict[str, str]:
    """Return the names by key, without those that share a key."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return {each: full[0] for each, full in found.items() if len(full) == 1}
