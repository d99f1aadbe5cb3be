"""The description of a reader of image files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.io.images.series import ImageSeries


@dataclass(frozen=True)
class ImageReader:
    """A reader of one image format.

    Attributes:
        title: The name of the format for messages.
        suffixes: Lower-case file endings with their dots.
        open: Returns the series of a file, given a limit of pixels per plane; raises `ImageError`.
        begins: Whether the first 512 bytes are those of such a file; None if only the ending
            identifies it.
        is_folder: Whether a folder is one image; None if images are files.
        by_window: Whether only the requested part of a plane is decoded, so that it may have any
            size.
        packages: The modules that it needs in addition to the base installation.
        extra: The extra that installs them.
        python: The lowest Python version that they support.
    """

    title: str
    suffixes: tuple[str, ...]
    open: Callable[[Path, int], Sequence[ImageSeries]]
    begins: Callable[[bytes], bool] | None = None
    is_folder: Callable[[Path], bool] | None = None
    by_window: bool = False
    packages: tuple[str, ...] = ()
    extra: str = ""
    python: tuple[int, ...] = (3, 11)
