"""The documents of a folder: opened on request, cached in memory, written to disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bigkingxxl.errors import BigKingXXLError, OutputError
from bigkingxxl.file_names import place_of
from bigkingxxl.io.annotations.corrections import (
    JOURNAL,
    CorrectedImage,
    begin_corrections,
    corrected_image,
    is_corrections,
    reading_of,
    write_corrected,
)
from bigkingxxl.runs.records import Stamp
from bigkingxxl.viewer.contract import Edit
from bigkingxxl.viewer.server.document import Document
from bigkingxxl.viewer.server.folder_claim import FolderClaim, ReadOnlyError
from bigkingxxl.viewer.server.journal import STATE_EVERY, Journal
from bigkingxxl.viewer.server.open_document import (
    OpenDocument,
    TooLargeImageError,
    check_same,
    check_size,
    corrected_of,
)
from bigkingxxl.viewer.server.workspace import KnownImage, Workspace

log = logging.getLogger(__name__)

LARGEST_IMAGE = 2**28  # pixels; cells of larger images are not held in memory
KEPT_BYTES = 2**29  # of documents in memory that are on disk too


class DocumentStore:
    """The documents of a workspace.

    Args:
        workspace: The workspace.
        on_trouble: Called when label images cannot be written, and when they can again.
    """

    def __init__(self, workspace: Workspace, on_trouble: Callable[[], None]) -> None:
        self.workspace, self._on_trouble = workspace, on_trouble
        self.folder = workspace.corrections_folder
        self._claim = FolderClaim(self.folder, workspace.why_read_only(), on_trouble)
        self.trouble = ""  # why label images cannot be written at present
        self._held: OrderedDict[str, OpenDocument] = OrderedDict()
        self._opening: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._flusher = threading.Thread(target=self._flush_on, name="flusher", daemon=True)
        self._flusher.start()
        if self.folder.is_dir() and not self.read_only:
            if is_corrections(self.folder):
                reading_of(self.folder)  # refuses what a newer version wrote
            try:
                self.claim()
            except ReadOnlyError:
                pass  # `elsewhere` says so
            except OutputError as error:
                log.warning("%s", error)

    # ---- the folder -----------------------------------------------------------------------------

    def claim(self) -> bool:
        """Make this process the only one that writes corrections here.

        Returns:
            Whether documents in memory were dropped, because those on disk may be newer.

        Raises:
            ReadOnlyError: The folder cannot be written, or another viewer has it open.
            OutputError: The folder cannot be created.
        """
        with self._lock:
            if not self._claim.take():
                return False
            if not is_corrections(self.folder):
                begin_corrections(self.folder, self.workspace.reading)
            # Another process may have written before; uncorrected documents are unchanged.
            stale = [key for key, held in self._held.items() if held.journal.exists()]
            for key in stale:
                del self._held[key]
            return bool(stale)

    def why_read_only(self) -> str:
        """Return why nothing can be corrected now, in one sentence, or "".

        A folder that another viewer had is claimed as soon as that viewer has ended.
        """
        if self.elsewhere:
            with suppress(ReadOnlyError, OutputError):
                self.claim()
        return self.read_only or self.elsewhere

    @property
    def is_claimed(self) -> bool:
        """Whether this process is the one that writes here."""
        return self._claim.is_taken

    @property
    def read_only(self) -> str:
        """Why nothing can ever be written here, in one sentence, or ""."""
        return self._claim.read_only

    @property
    def elsewhere(self) -> str:
        """A sentence on another viewer that has the folder, as of the last check, or ""."""
        return self._claim.elsewhere

    def journal(self, image: KnownImage) -> Journal:
        """Return the journal of an image."""
        return Journal(self.folder, place_of(image.name).as_posix())

    def corrected(self, image: KnownImage) -> CorrectedImage | None:
        """Return what is on disk of an image's corrections, or None if there are none.

        Raises:
            FormatError: It is damaged.
        """
        found = corrected_image(self.folder, place_of(image.name).as_posix())
        return found if found is not None and found.image == image.name else None

    # ---- documents ------------------------------------------------------------------------------

    @contextmanager
    def document(self, image: KnownImage) -> Iterator[OpenDocument]:
        """Lend a document exclusively for the length of a block.

        Raises:
            InputError: The cells of the image are missing or damaged.
        """
        held = self._get(image)
        with held.lock:
            yield held

    def peek(self, key: str) -> OpenDocument | None:
        """Return a document if it is in memory."""
        return self._held.get(key)

    def _get(self, image: KnownImage) -> OpenDocument:
        key = image.key
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            opening = self._opening.setdefault(key, threading.Lock())
        with opening:
            with self._lock:
                if key in self._held:
                    return self._held[key]
            held = self._opened(image)
            with self._lock:
                self._held[key] = held
                self._make_room(but=key)
            return held

    def _opened(self, image: KnownImage) -> OpenDocument:
        journal = self.journal(image)
        source = self.workspace.open(image).source
        if source.shape[0] * source.shape[1] > LARGEST_IMAGE:
            raise TooLargeImageError(
                f"{image.path} has {source.shape[1]} x {source.shape[0]} pixels, more than the "
                f"{LARGEST_IMAGE:,} pixels that can be shown and corrected here: correct parts"
            )
        if journal.exists():
            document = journal.load(repair=self._claim.is_taken)
            on_disk = self.corrected(image)
            head = journal.head()
            held = OpenDocument(image, document, journal, str(head.get("before", "")),
                        str(head.get("seen", "")), source.pixel_size_um)  # fmt: skip
            check_same(image, held)
            check_size(image, document, source.shape)
            is_old = on_disk is None or on_disk.revision != document.revision
            if is_old and self._claim.is_taken:
                held.dirty = time.monotonic()
            return held
        start = self.workspace.start(image)
        document = Document(start.labels, dict(start.cells), start.reviewed.copy())
        check_size(image, document, source.shape)
        return OpenDocument(image, document, journal, start.before, "", source.pixel_size_um)

    def _make_room(self, but: str) -> None:
        total = sum(held.weight for held in self._held.values())
        for key, held in list(self._held.items()):
            if total <= KEPT_BYTES:
                return
            if key != but and held.dirty is None and held.lock.acquire(blocking=False):
                try:
                    total -= held.weight
                    del self._held[key]
                finally:
                    held.lock.release()

    def forget(self, image: KnownImage) -> None:
        """Drop an image whose prediction changed; its corrections are on disk."""
        held = self._held.get(image.key)
        if held is None:
            return
        with held.lock:
            if held.document.revision == 0:
                with self._lock:
                    self._held.pop(image.key, None)

    # ---- edits ----------------------------------------------------------------------------------

    def edit(self, image: KnownImage, edit: Edit) -> tuple[OpenDocument, bool, int]:
        """Make an edit and write it: return the document, whether it is new, and its revision.

        Raises:
            StaleError, UnfitError: The edit does not fit the cells.
            ReadOnlyError, OutputError: It cannot be written.
        """
        while True:
            with self.document(image) as held:
                if self._held.get(image.key) is not held:
                    continue  # it was dropped in between
                document = held.document
                revision = document.answered(edit)
                if revision is not None:
                    return held, False, revision
                document.check(edit)
                if self.claim():
                    continue  # another process wrote before, so it must be read first
                if document.revision == 0 and not held.journal.exists():
                    held.seen = Stamp.of(image.path).sha256
                    head = {"image": image.name, "before": held.before, "seen": held.seen}
                    held.journal.begin(document, head)
                held.journal.append(edit)
                try:
                    document.apply(edit)
                except BaseException:  # it is on disk: the next reader loads it from there
                    with self._lock:
                        self._held.pop(image.key, None)
                    raise
                held.dirty = held.dirty or time.monotonic()
                return held, True, document.revision

    # ---- label images ---------------------------------------------------------------------------

    def flush(self, key: str | None = None) -> None:
        """Write the label images that are older than their documents.

        Args:
            key: Of one image (default: all).

        Raises:
            OutputError: One cannot be written.
        """
        with self._lock:
            chosen = [held for each, held in self._held.items() if key in (None, each)]
        for held in chosen:
            self._write(held)

    def _write(self, held: OpenDocument) -> None:
        with held.writing:  # one at a time, while edits go on
            with held.lock:
                if held.dirty is None:
                    return
                began, document = time.monotonic(), held.document
                image = corrected_of(self.folder, held)
                labels, reviewed = document.labels.copy(), document.reviewed.copy()
                held.dirty = None
            try:
                write_corrected(image, labels, reviewed)
                with held.lock:
                    if document.revision - held.journal.state_at >= STATE_EVERY:
                        held.journal.write_state(document)
            except BaseException:
                held.dirty = time.monotonic()
                raise
            held.cost = time.monotonic() - began

    def _flush_on(self) -> None:
        while not self._stop.wait(0.1):
            now = time.monotonic()
            with self._lock:
                due = [held for held in self._held.values() if held.is_due(now)]
            for held in due:
                try:
                    self._write(held)
                    self._note("")
                except (BigKingXXLError, ReadOnlyError, OSError, MemoryError) as error:
                    held.dirty = time.monotonic() + 2  # the journal has it; try again later
                    self._note(f"{error} (your changes are in the journal)")

    def _note(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            if trouble:
                log.warning("%s", trouble)
            self._on_trouble()

    def unfinished(self) -> list[str]:
        """Return the paths of journals whose label image a crash left behind."""
        top = self.folder / JOURNAL
        found = []
        for path in sorted(top.rglob("*.jsonl")) if top.is_dir() else ():
            place = path.relative_to(top).as_posix().removesuffix(".jsonl")
            edits = max(path.read_bytes().count(b"\n") - 1, 0)
            with suppress(BigKingXXLError):
                on_disk = corrected_image(self.folder, place)
                if on_disk is not None and on_disk.revision == edits:
                    continue
            if edits:
                found.append(place)
        return found

    def close(self) -> None:
        """Write what is left and let other processes write here."""
        self._stop.set()
        self._flusher.join()
        try:
            self.flush()
        finally:
            self._claim.close()
