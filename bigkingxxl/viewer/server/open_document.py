"""A document in memory: the current cells of an image, with what is needed to write them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.io.annotations.corrections import CorrectedImage
from bigkingxxl.runs.records import Stamp
from bigkingxxl.viewer.server.document import Document, notes_of
from bigkingxxl.viewer.server.journal import Journal
from bigkingxxl.viewer.server.workspace import KnownImage

SECONDS_TO_FLUSH = 0.3  # from an edit until its label image is written
PATIENCE = 4  # pause between two writes, as a multiple of the time a write takes


class TooLargeImageError(InputError):
    """An image that can be shown, but whose cells need too much memory."""


@dataclass
class OpenDocument:
    """A document in memory.

    Attributes:
        image: The image.
        document: Its current cells.
        journal: Its edits on disk.
        before: The state of the predicted cells from which the corrections started.
        seen: The SHA-256 of the image file when it was first corrected, or "".
        pixel_size_um: Micrometres per pixel (row, column), or None.
        dirty: Since when its label image has been older than the document; None if it is not.
        cost: Seconds that writing it took.
        lock: Held while the document is read or changed.
        writing: Held while its label image is written.
    """

    image: KnownImage
    document: Document
    journal: Journal
    before: str
    seen: str
    pixel_size_um: tuple[float, float] | None
    dirty: float | None = None
    cost: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def is_due(self, now: float) -> bool:
        """Return whether its label image must be written."""
        wait = max(SECONDS_TO_FLUSH, PATIENCE * self.cost)
        return self.dirty is not None and now - self.dirty >= wait

    @property
    def weight(self) -> int:
        """Size in bytes."""
        return self.document.labels.nbytes + self.document.reviewed.nbytes


def corrected_of(folder: Path, held: OpenDocument) -> CorrectedImage:
    """Return the part of a document that is to be written."""
    document, image = held.document, held.image
    return CorrectedImage(
        folder, held.journal.place, image.name, image.path.absolute(), image.frame, document.size,
        held.pixel_size_um, document.revision, document.done, document.reviewed_share,
        notes_of(document.cells), held.before, held.seen,
    )  # fmt: skip


def check_same(image: KnownImage, held: OpenDocument) -> None:
    """Refuse corrections of an image that has been replaced since.

    Raises:
        FormatError: It has.
    """
    if held.seen and Stamp.of(image.path).sha256 != held.seen:
        raise FormatError(
            f"{image.path} has changed since its cells were corrected: restore the old image, or "
            f"move {held.journal.path} out of the folder and correct the new image",
            file=image.path,
        )


def check_size(image: KnownImage, document: Document, size: tuple[int, int]) -> None:
    """Check that a document has the (H, W) of its image.

    Raises:
        InputError: It has not.
    """
    from bigkingxxl.io.annotations.label_images import check_same_size

    check_same_size(image.path, size, document.size)
