"""Find the images in folders, name them, and explain which files are left out."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bigkingxxl.errors import InputError

# Endings of label images beside their image, longer ones first, and of other results of programs.
MASK_ENDINGS = (
    "_cp_masks", "_masks", "_mask", "_labels", "_label", "-labels", "-label", "-masks", "-mask",
    "_seg", "_segmentation", "_annotation", "_gt",
)  # fmt: skip
LEFT_ENDINGS = (*MASK_ENDINGS, "_outlines", "_flows", "_dP", "_probs", "_cellprob",
                "_overlay", "_cp_outlines", "_cp_flows", "_cp_output", "_ignore",
                "_reviewed")  # fmt: skip
# Only Cellpose writes these, so they are not images even if their image is elsewhere.
CELLPOSE_ENDINGS = ("_cp_masks", "_cp_outlines", "_cp_flows", "_cp_output", "_seg.npy")
IMAGE_ENDINGS = ("", "_img", "_image", "_raw")
# Folders in which cells are searched, in this order, in lower or upper case.
CELL_FOLDERS = ("labels", "masks", "annotations", "label", "mask", "annotation", "rois", "gt",
                "ground_truth", "groundtruth", "segmentations", "segmentation")  # fmt: skip
LABEL_FOLDERS = frozenset((*CELL_FOLDERS, "outlines", "flows", "ignore", "reviewed"))
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw")
TRACKING_ENDINGS = ("_GT", "_ST", "_RES", "_ERR_SEG")
# The entries of a folder of our own results.
RUN_FOLDERS = frozenset(("candidates", "labels", "overlays", "measurements", "thumbnails",
                         "imagej", "qupath", "cellpose", "records", "cells"))  # fmt: skip
RUN_FILES = frozenset(("contact_sheet.png", "report.html"))
CORRECTIONS_FILE = "corrections.json"  # in a folder that the viewer wrote
OME = ".ome"

LABELS, RESULTS, LINKS, OTHERS, TWICE, UNREADABLE, PARTS = (
    "label images and other results next to images", "results of earlier runs", "linked folders",
    "other files", "files named twice", "folders that cannot be read", "parts of series",
)  # fmt: skip


@dataclass(frozen=True)
class ImageFile:
    """An image file or folder.

    Attributes:
        path: The file or folder.
        name: Its name in results: the path relative to the searched folder with '/', without
            ending; unique in a run.
    """

    path: Path
    name: str


@dataclass
class FoundImages:
    """The images found in some places.

    Attributes:
        files: The images, sorted by place and path, without duplicates.
        skipped: The files and folders that were left out, with the reasons.
    """

    files: list[ImageFile] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)

    def sentence(self) -> str | None:
        """Return one line on what was left out, or None."""
        if not self.skipped:
            return None
        counts = Counter(reason for _, reason in self.skipped)
        parts = []
        for reason, count in sorted(counts.items()):
            endings = sorted({path.suffix.lower() or "without ending" for path, why in self.skipped
                              if why == reason == OTHERS})  # fmt: skip
            shown = ", ".join(endings[:5]) + (", ..." if len(endings) > 5 else "")
            parts.append(f"{count} {reason}" + (f" ({shown})" if shown else ""))
        return f"left out: {', '.join(parts)}"


def find_images(places: Sequence[str | Path], recursive: bool = True) -> FoundImages:
    """Find the image files that files, folders and glob patterns refer to.

    A file that is named is always accepted. In folders these are left out: hidden files, label
    images and outlines beside images, folders of label images beside folders of images, results of
    earlier runs, linked folders, and files of other kinds.

    Args:
        places: Files, folders and patterns.
        recursive: Whether subfolders are searched.

    Raises:
        InputError: A place does not exist, or a folder contains no images.
    """
    found = FoundImages()
    known: dict[Path, Path] = {}
    named: list[tuple[Path, Path | None]] = []
    for place in places:
        base, paths = _images_at(str(place), found, recursive)
        for path in paths:
            real = path.resolve()
            if known.setdefault(real, path) is path:
                named.append((path, base))
            elif base is not None:
                found.skipped.append((path, TWICE))
    found.files = sorted(_named(named), key=lambda file: os.fsencode(file.path))
    return found


def images_in(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted, without label images."""
    return without_masks(all_images_in(folder))


def all_images_in(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted."""
    return sorted(path for path in folder.iterdir() if _is_image(path))


def without_masks(paths: Sequence[Path]) -> list[Path]:
    """Drop the label images (`x_masks.tif`) of other images (`x.png`)."""
    stems = {path.with_name(stem_of(path)) for path in paths}
    return [path for path in paths if not any(
        path.with_name(stem) in stems for stem in _belongs_to(path))]  # fmt: skip


def stem_of(path: Path) -> str:
    """Return a file name without its ending, for any bytes; `.ome.tif` is one ending."""
    name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
    stem, dot, _ = name.rpartition(".")
    stem = stem if dot and stem else name
    short = stem[: -len(OME)] if stem.lower().endswith(OME) else stem
    return short or stem


def _images_at(place: str, found: FoundImages, recursive: bool) -> tuple[Path | None, list[Path]]:
    """Return the images of a place, and the base folder of their names (None for a file)."""
    from bigkingxxl.io.images.registry import is_image_folder

    path = Path(place).expanduser()
    if not place.strip():
        raise InputError(
            "a place to look for images is empty, expected a file, folder or pattern", found=""
        )
    if path.is_file() or (path.is_dir() and is_image_folder(path)):
        return None, [path]
    if path.is_dir():
        images, kind, base = _searched(path, found, recursive), "the folder", path
    elif glob.has_magic(place):
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 - patterns may be absolute
        kind, base = "the pattern", _fixed_part(path)
        named = [each for each in map(Path, matches) if _is_image(each)]
        images = _without_leavings(_without_results(named, base, found), found)
    else:
        raise InputError(f"there is no file or folder {place}", file=place)
    if not images:
        from bigkingxxl.io.images.registry import image_suffixes

        looked = ", ".join(image_suffixes()[:8])
        why = found.sentence()
        raise InputError(f"{kind} {place} contains no images (looked for {looked} and others"
                         f"{'; ' + why if why else ''})", file=place)  # fmt: skip
    return base, images


def _without_results(paths: list[Path], base: Path, found: FoundImages) -> list[Path]:
    """Drop the files in results of runs below the folder, as a search would."""
    runs: dict[Path, bool] = {}
    images = []
    for path in paths:
        parents = [each for each in path.parents if each == base or base in each.parents]
        for inner, folder in zip((path, *parents), parents, strict=False):
            if folder not in runs:
                runs[folder] = _is_run({entry.name for entry in folder.iterdir()})
            own = RUN_FILES if inner is path else RUN_FOLDERS
            if (runs[folder] and inner.name in own) or (inner / CORRECTIONS_FILE).is_file():
                found.skipped.append((path, RESULTS))
                break
        else:
            images.append(path)
    return images


def _fixed_part(pattern: Path) -> Path:
    """Return the folders of a pattern before its first wildcard."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def _searched(folder: Path, found: FoundImages, recursive: bool) -> list[Path]:
    images: list[Path] = []
    for path in _walk(folder, found, recursive):
        if _is_image(path):
            images.append(path)
        else:
            found.skipped.append((path, OTHERS))
    return _without_leavings(images, found)


def _walk(folder: Path, found: FoundImages, recursive: bool) -> Iterator[Path]:
    """Yield the files of a folder, and the folders that are one image, without hidden ones."""
    from bigkingxxl.io.images.registry import is_image_folder

    try:
        inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        found.skipped.append((folder, UNREADABLE))
        return
    names = {path.name for path in inside}
    is_run = _is_run(names)
    folders = []
    for path in inside:
        if not path.is_dir():
            if is_run and path.name in RUN_FILES:
                found.skipped.append((path, RESULTS))
            elif path.is_file():
                yield path
            else:  # a broken link, a pipe, a device
                found.skipped.append((path, OTHERS))
        elif path.is_symlink():
            found.skipped.append((path, LINKS))
        elif is_image_folder(path):
            yield path
        else:
            folders.append(path)
    for path in folders if recursive else ():
        reason = _reason(path, names, is_run)
        if reason is None:
            yield from _walk(path, found, recursive)
        else:
            found.skipped.append((path, reason))


def _is_run(names: Collection[str]) -> bool:
    """Return whether the entries of a folder are those of our own results."""
    there = set(names)
    is_older = {"manifest.jsonl", "candidates"} <= there
    return is_older or ("run.json" in there and bool(RUN_FOLDERS & there))


def _reason(folder: Path, beside: Collection[str], is_run: bool) -> str | None:
    """Return why a subfolder is not searched, or None if it is."""
    if is_run and folder.name in RUN_FOLDERS:
        return RESULTS
    if (folder / CORRECTIONS_FILE).is_file():
        return RESULTS
    has_images = any(name.lower() in IMAGE_FOLDERS for name in beside)
    if folder.name.lower() in LABEL_FOLDERS and has_images:
        return LABELS
    for ending in TRACKING_ENDINGS:  # 01_GT beside 01
        if folder.name.endswith(ending) and folder.name.removesuffix(ending) in beside:
            return LABELS
    return None


def _is_image(path: Path) -> bool:
    from bigkingxxl.io.images.registry import image_suffixes, is_image_folder

    if path.name.startswith("."):
        return False
    if path.is_dir():
        return is_image_folder(path)
    return path.suffix.lower() in image_suffixes() and path.is_file()


def _without_leavings(paths: list[Path], found: FoundImages) -> list[Path]:
    """Drop the results of other programs and the later parts of multi-file series."""
    stems = {stem_of(path) for path in paths}
    images = []
    for path in paths:
        if (
            path.name.endswith(CELLPOSE_ENDINGS)
            or stem_of(path).endswith(CELLPOSE_ENDINGS)
            or any(stem in stems for stem in _belongs_to(path))
        ):
            found.skipped.append((path, LABELS))
        else:
            images.append(path)
    later = _later_parts(images)
    found.skipped.extend((path, PARTS) for path in images if path in later)
    return [path for path in images if path not in later]


def _belongs_to(path: Path) -> Iterator[str]:
    """Yield the names of images, without ending, of which this file would be a result."""
    stem = stem_of(path)
    for base in bases_of(stem, LEFT_ENDINGS):
        for image in IMAGE_ENDINGS:
            yield base + image


def bases_of(stem: str, endings: Iterable[str] = MASK_ENDINGS) -> Iterator[str]:
    """Yield a name without each of the endings that it has, in lower or upper case.

    For `x.ome_masks`, which programs write beside `x.ome.tif`, these are `x.ome` and `x`.
    """
    for ending in endings:
        if stem.lower().endswith(ending.lower()) and len(stem) > len(ending):
            yield from with_and_without_ome(stem[: -len(ending)])


def with_and_without_ome(stem: str) -> Iterator[str]:
    """Yield a name and, if it ends in `.ome`, the same without."""
    yield stem
    if stem.lower().endswith(OME) and len(stem) > len(OME):
        yield stem[: -len(OME)]


def _later_parts(paths: Iterable[Path]) -> set[Path]:
    """Return the files of OME-TIFF series whose first file, which contains all planes, exists."""
    from bigkingxxl.io.images.tiff_files import parts_of

    there = set(paths)
    later: set[Path] = set()
    for path in there:
        if stem_of(path) != path.stem and path.is_file():
            first = next((path.with_name(name) for name in parts_of(path)
                          if path.with_name(name) in there), path)  # fmt: skip
            if first != path:
                later.add(path)
    return later


def _named(paths: Sequence[tuple[Path, Path | None]]) -> list[ImageFile]:
    """Assign a unique name to each file."""
    names = {path: _name(path, base) for path, base in paths}
    if len({(name, path.parent) for path, name in names.items()}) > len(set(names.values())):
        # For several places, names are relative to their common folder.
        common = Path(os.path.commonpath([path.absolute().parent for path, _ in paths]))
        names = {path: _name(path.absolute(), common) for path, _ in paths}
    # For Windows and macOS, results of A.tif and a.png would be the same files.
    counts = Counter(name.casefold() for name in names.values())
    return [ImageFile(path, name if counts[name.casefold()] == 1 else _whole_name(path, name))
            for path, name in names.items()]  # fmt: skip


def _name(path: Path, base: Path | None) -> str:
    folders: tuple[str, ...] = ()
    if base is not None:
        folders = path.parent.relative_to(base).parts
    plain = (os.fsencode(part).decode("utf-8", "backslashreplace") for part in folders)
    return "/".join([*plain, stem_of(path)])


def _whole_name(path: Path, name: str) -> str:
    """Return the name with its ending, for files that differ only in it: a.png and a.tif."""
    folder, slash, _ = name.rpartition("/")
    last = os.fsencode(path.name).decode("utf-8", "backslashreplace")
    return f"{folder}{slash}{last}"
