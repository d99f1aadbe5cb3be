"""What a reader of image files says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.io.images.series import ImageSeries


@dataclass(frozen=True)
class ImageReader:
    """One file format.

    Attributes:
        title: the format's name, for messages.
        suffixes: endings in lower case, each with its dot.
        open: gives the series of a file, at a limit of pixels per plane; raises `ImageError`.
        begins: true for the first 512 bytes of such a file; None knows it by its ending alone.
        is_folder: true for a folder that is one image; None where images are files.
        by_window: no more of a plane is decoded than is asked for, so that it may be of any size.
        packages: modules that it needs beside the base install; extra: what brings them; python:
            the least version that they run on.
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
