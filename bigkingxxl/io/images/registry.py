"""The registry of image readers, by content and ending, which other packages can extend.

A package adds a reader with an entry point in the group `bigkingxxl.image_readers` whose object is
an `ImageReader`:

    [project.entry-points."bigkingxxl.image_readers"]
    dm3 = "my_package:READER"
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib import util
from pathlib import Path

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images.read_errors import damage_reported
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.plugins import plugins

GROUP = "bigkingxxl.image_readers"
START_BYTES = 512


@lru_cache(maxsize=1)
def readers() -> tuple[ImageReader, ...]:
    """Return all readers, those of other packages first."""
    from bigkingxxl.io.images import (
        czi_files,
        dicom_files,
        jpeg2000_files,
        lif_files,
        nd2_files,
        npy_files,
        pillow_files,
        tiff_files,
        zarr_folders,
    )

    modules = (tiff_files, pillow_files, jpeg2000_files, npy_files, zarr_folders, nd2_files,
               lif_files, czi_files, dicom_files)  # fmt: skip
    return (*plugins(GROUP, ImageReader).values(), *(module.READER for module in modules))


LARGEST_WHOLE = 10**9  # pixels of a plane that is decoded as a whole
LARGEST_BY_WINDOW = 10**13  # more than any microscope produces; a sign of a damaged header


@lru_cache(maxsize=1)
def image_suffixes() -> tuple[str, ...]:
    """Return the endings of all formats, including those that only other programs read."""
    from bigkingxxl.io.images.refusals import UNREAD

    known = [suffix for reader in readers() for suffix in reader.suffixes]
    return tuple(dict.fromkeys([*known, *UNREAD]))


def is_image_folder(path: Path) -> bool:
    """Return whether a folder is one image, such as an OME-Zarr."""
    return any(reader.is_folder is not None and reader.is_folder(path) for reader in readers())


def reader_of(path: Path) -> ImageReader:
    """Return the reader of a file or folder; its content takes precedence over its ending.

    Raises:
        ImageError: It is missing, empty, not an image, or has an unsupported format.
    """
    from bigkingxxl.io.images.refusals import refuse

    if path.is_dir():
        for reader in readers():
            if reader.is_folder is not None and reader.is_folder(path):
                return reader
        raise ImageError(
            f"{path} is a folder, expected an image file", file=path, key="format", found="folder"
        )
    start = first_bytes(path)
    files = [reader for reader in readers() if reader.is_folder is None]
    ending = path.suffix.lower()
    named = [reader for reader in files if ending in reader.suffixes]
    for reader in (*named, *files):
        if reader.begins is not None and reader.begins(start):
            return reader
    for reader in named:
        if reader.begins is None:
            return reader
    raise refuse(path, start)


def first_bytes(path: Path, count: int = START_BYTES) -> bytes:
    """Read up to `count` bytes of a file.

    Raises:
        ImageError: It is missing, not a regular file, empty, or cannot be opened.
    """
    try:
        if not path.exists():
            raise ImageError(f"there is no image {path}", file=path)
        if not path.is_file():
            raise ImageError(
                f"{path} is not a file, expected an image file", file=path, key="format"
            )
        with path.open("rb") as stream:
            start = stream.read(count)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path} cannot be read: {reason}", file=path) from error
    if not start:
        raise ImageError(
            f"{path} is empty (0 bytes), expected an image", file=path, key="bytes", found=0
        )
    return start


def series_of(path: Path, pixel_limit: int | None) -> Sequence[ImageSeries]:
    """Return all series of a file, without reading pixels if the format allows it.

    Args:
        path: The file.
        pixel_limit: Larger planes are refused; None refuses those that would be decoded as a whole.

    Raises:
        ImageError: See `reader_of`; or the file is damaged, or its format needs a package that is
            not installed.
    """
    reader = reader_of(path)
    if any(util.find_spec(package) is None for package in reader.packages):
        needs = f"pip install 'bigkingxxl[{reader.extra}]'"
        if sys.version_info < reader.python:
            needs = f"use Python {'.'.join(map(str, reader.python))} or newer and {needs}"
        raise ImageError(
            f"{path} is {reader.title}: to read it, {needs}, or save it as OME-TIFF",
            file=path,
            key="format",
            found=reader.title,
        )
    if pixel_limit is None:
        pixel_limit = LARGEST_BY_WINDOW if reader.by_window else LARGEST_WHOLE
    problem = f"is damaged, or no {reader.title} that can be read"
    with damage_reported(path, problem, key="format", expected=reader.title):
        series = reader.open(path, pixel_limit)
    if not series:
        raise ImageError(f"{path} contains no image", file=path, key="images", found=0)
    return series
