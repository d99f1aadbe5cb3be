"""Edits: the changes made in a window, and the server's answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bigkingxxl.viewer.contract.common import (
    CellNumber,
    Count,
    WindowId,
    Wire,
)
from bigkingxxl.viewer.contract.image import (
    Cell,
)


class CellChange(Wire):
    """The attributes of a cell before and after an edit; None if the cell does not exist."""

    id: CellNumber
    before: Cell | None = None
    after: Cell | None = None


class DoneChange(Wire):
    """The mark 'done' of an image, before and after the edit."""

    before: bool
    after: bool


class Edit(Wire):
    """A change of one image in one window.

    Attributes:
        window: The id of the window that made it.
        seq: The number of the window's edit of this image, from 1.
        revision: The revision of the image that the window changed.
        tool: The user's action, for the journal ('brush', 'cut', 'undo' ...).
        runs: Place, length, old number and new number of each run of pixels, one after the other.
        cells: The changed attributes; `before` or `after` is None for a cell that appears or
            disappears.
        reviewed: Place, length, old and new (0 or 1) of each run of the reviewed region.
        done: The change of the mark 'done'.
    """

    window: WindowId
    seq: Annotated[int, Field(ge=1, le=2**53)]
    revision: Count
    tool: Annotated[str, Field(pattern=r"^[a-z0-9 _-]{1,40}$")]
    runs: tuple[Count, ...] = ()
    cells: tuple[CellChange, ...] = ()
    reviewed: tuple[Count, ...] = ()
    done: DoneChange | None = None


class EditAccepted(Wire):
    """The edit is stored on disk; `revision` is the revision of the image after it."""

    revision: Count
    next_cell: CellNumber


class Conflict(Wire):
    """Another window edited the image, or page and server differ: the page must load it again.

    Attributes:
        error: A sentence for the user.
        revision: The current revision of the image.
        window: The window of the last edit.
    """

    error: str
    revision: Count
    window: str = ""


class PastEdit(Wire):
    """An edit in the journal; `edit.revision` is the revision before the edit."""

    time: str
    edit: Edit


class EditList(Wire):
    """The edits after a revision, oldest first."""

    revision: Count
    edits: tuple[PastEdit, ...]
