"""The strip: all images, and what is known of each without opening it."""

from __future__ import annotations

from typing import Literal

from bigkingxxl.viewer.contract.common import (
    Count,
    Key,
    Wire,
)


class ImageEntry(Wire):
    """An image in the strip.

    Attributes:
        key: names it in routes; name: its id, for people; file: its file's name within DIR.
        group: the file that it is a frame of, else ""; frame: counted from 0, or None.
        state: 'waiting' to be predicted, 'ready', or 'failed'; failure: why.
        warnings: sentences on the image.
        width, height: in pixels, None before it was opened.
        cells: how many, None where not known; confluence: share covered, 0 to 1.
        expected_error: how much is expected to be wrong, 0 to 1; None where not known. Sorted
            falling, it is the order in which to look.
        revision: how many edits it has; corrected: whether it has any; done: 'image done'.
        reviewed: the share of its pixels that is reviewed, 0 to 1.
        thumbnail: version of its thumbnail, to be added to the address as `?v=`.
    """

    key: Key
    name: str
    file: str
    group: str = ""
    frame: int | None = None
    state: Literal["waiting", "ready", "failed"]
    failure: str = ""
    warnings: tuple[str, ...] = ()
    width: int | None = None
    height: int | None = None
    cells: Count | None = None
    confluence: float | None = None
    expected_error: float | None = None
    revision: Count = 0
    corrected: bool = False
    done: bool = False
    reviewed: float = 0.0
    thumbnail: str = ""


class Strip(Wire):
    """All images, in the order of their names; `event` is the newest event that it knows."""

    images: tuple[ImageEntry, ...]
    event: int


class ImageList(Wire):
    """Keys in the order in which to look."""

    keys: tuple[Key, ...]
