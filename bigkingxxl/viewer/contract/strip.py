"""The list of all images, with what is known of each without opening it."""

from __future__ import annotations

from typing import Literal

from bigkingxxl.viewer.contract.common import (
    Count,
    Key,
    Wire,
)


class ImageEntry(Wire):
    """An image in the list.

    Attributes:
        key: Identifies it in routes.
        name: Its id, for users.
        file: Its file name within DIR.
        group: The file of which it is a frame, else "".
        frame: The frame, counted from 0, or None.
        state: 'waiting' to be predicted, 'ready', or 'failed'.
        failure: Why it failed.
        warnings: Warnings about the image, one sentence each.
        width: In pixels; None before it was opened.
        height: In pixels; None before it was opened.
        cells: The number of cells; None if unknown.
        confluence: The covered fraction, 0 to 1.
        expected_error: The expected fraction of errors, 0 to 1, or None if unknown; in descending
            order it is the order for reviewing.
        revision: The number of its edits.
        corrected: Whether it has been edited.
        done: Whether the user marked it as done.
        reviewed: The reviewed fraction of its pixels, 0 to 1.
        thumbnail: The version of its thumbnail, for the URL parameter `?v=`.
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
    """All images in the order of their names; `event` is the newest event that it includes."""

    images: tuple[ImageEntry, ...]
    event: int


class ImageList(Wire):
    """Keys of images in the order for reviewing."""

    keys: tuple[Key, ...]
