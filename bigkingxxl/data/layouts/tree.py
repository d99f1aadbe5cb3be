"""The files below a folder, with their names in results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bigkingxxl.io.images.registry import image_suffixes

OME = ".ome"
# Files that this and other programs write beside images, and that are not images themselves.
LEFT_BY_PROGRAMS = ("_cp_outlines", "_cp_flows", "_outlines", "_flows", "_overlay")


def files_below(folder: Path) -> Iterator[Path]:
    """List the files of a folder and its subfolders, sorted, without hidden ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(place) / name


def files_in(folder: Path) -> Iterator[Path]:
    """List the files directly in a folder, sorted, without hidden ones."""
    return (path for path in sorted(folder.iterdir())
            if path.is_file() and not path.name.startswith("."))  # fmt: skip


def is_image_name(path: Path) -> bool:
    """Return whether a file has the name of an image."""
    ending = path.suffix.lower()  # beside images, arrays usually are annotations
    return ending != ".npy" and ending in image_suffixes()


def inner_name(path: Path, folder: Path, name: str | None = None) -> str:
    """Return a file's name in results: its path from the folder with '/', without ending.

    Args:
        path: The file.
        folder: The folder.
        name: Replaces the stem of the file.
    """
    return inner_folder(path, folder) + (stem_of(path) if name is None else name)


def stem_of(path: Path) -> str:
    """Return a file name without its ending; `.ome.tif` is one ending."""
    stem = path.stem
    short = stem[: -len(OME)] if stem.lower().endswith(OME) else stem
    return short or stem


def inner_folder(path: Path, folder: Path) -> str:
    """Return the prefix of a file's name in results: '' at the top level, else such as 'A/B/'."""
    inner = path.relative_to(folder).parent.as_posix()
    return "" if inner == "." else f"{inner}/"
