"""The work behind the routes: the folder, its images, their cells, edits and open windows."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.display_text import printable
from bigkingxxl.errors import BigKingXXLError, InputError
from bigkingxxl.provenance import own_version
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.candidate_list import best_masks, listed, uncovered
from bigkingxxl.viewer.server.cell_table import table_of
from bigkingxxl.viewer.server.document import compact
from bigkingxxl.viewer.server.document_store import DocumentStore
from bigkingxxl.viewer.server.events import Events
from bigkingxxl.viewer.server.folder_claim import ReadOnlyError
from bigkingxxl.viewer.server.image_cache import ImageCache
from bigkingxxl.viewer.server.offered_candidates import OfferedCandidates
from bigkingxxl.viewer.server.open_document import TooLargeImageError
from bigkingxxl.viewer.server.pixels import (
    TILE_SIDE,
    WHOLE_LIMIT,
    levels_of,
    strided,
)
from bigkingxxl.viewer.server.presence import Presence
from bigkingxxl.viewer.server.workspace import KnownImage, Workspace, type_name

log = logging.getLogger(__name__)

LARGEST_BODY = 64 * 2**20
SECONDS_BETWEEN_COUNTS = 2.0


class UnknownImageError(LookupError):
    """No image has this key."""


@dataclass(frozen=True)
class Raster:
    """A raster to be sent: its values and the revision of the cells it shows."""

    values: NDArray[Any]
    revision: int


class Session:
    """An open folder, shared by all windows."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.events = Events()
        self.pictures = ImageCache(workspace)
        self.offered = OfferedCandidates(workspace)
        self.store = DocumentStore(workspace, lambda: self.events.add("folder"))
        self._on_disk: dict[str, _Corrected] = {}
        self._presence = Presence()
        self._lock = threading.Lock()
        self._is_closed = False
        self._images: dict[str, KnownImage] = {}
        self._more_types: dict[str, None] = {}
        self.reload()

    def close(self) -> None:
        """Write what is not on disk yet."""
        self._is_closed = True
        self.events.close()
        self.store.close()

    # ---- the folder -----------------------------------------------------------------------------

    def reload(self) -> None:
        """Read again which images there are, and their state."""
        images = {image.key: image for image in self.workspace.images().values()}
        known = {}
        for key, image in images.items():
            try:
                found = self.store.corrected(image)
            except BigKingXXLError as error:
                log.warning("%s", error)
                continue
            if found is not None:
                known[key] = _Corrected(
                    found.revision, found.done, found.reviewed, len(found.notes)
                )
                self._more_types.update(dict.fromkeys(note.type for note in found.notes.values()))
        with self._lock:
            self._images = images
            self._on_disk = known

    def mend(self) -> None:
        """Write label images that a crash left older than their journals."""
        unfinished = set(self.store.unfinished())
        if not unfinished:
            return
        try:
            self.store.claim()
        except (ReadOnlyError, BigKingXXLError):
            return  # whoever writes here repairs it
        for image in list(self._images.values()):
            if self.store.journal(image).place in unfinished:
                try:
                    with self.store.document(image):
                        pass  # when opened, it is recognised as older
                    self.store.flush(image.key)
                except BigKingXXLError as error:
                    log.warning("%s", error)
                self.tell(image)

    def survey(self) -> None:
        """Count the cells of annotated images, so that the strip can show the numbers."""
        told = time.monotonic()
        for image in self.images():
            if self._is_closed:
                return
            try:
                known = self.workspace.counted(image)
            except (BigKingXXLError, OSError, MemoryError) as error:
                known = replace(image, warnings=(*image.warnings, " ".join(str(error).split())))
            if known is image:
                continue
            with self._lock:
                self._images[image.key] = known
            if time.monotonic() - told > SECONDS_BETWEEN_COUNTS:
                told = time.monotonic()
                self.events.add("folder")
        self.events.add("folder")

    @cached_property
    def _folder_texts(self) -> dict[str, Any]:
        from bigkingxxl.viewer.server.export_formats import export_formats

        return {
            "contract": wire.CONTRACT_VERSION, "version": own_version(),
            "kind": self.workspace.kind, "path": printable(str(self.workspace.folder)),
            "corrections": printable(str(self.store.folder)), "tile_side": TILE_SIDE,
            "whole_limit": WHOLE_LIMIT, "max_body": LARGEST_BODY,
            "export_formats": export_formats(),
        }  # fmt: skip

    def folder(self) -> wire.Folder:
        """See `contract.Folder`."""
        run = self.workspace.run_folder
        names = dict.fromkeys(map(type_name, [*self.workspace.type_names, *self._more_types]))
        names.pop("", None)
        was_elsewhere = bool(self.store.elsewhere)
        read_only = self.store.why_read_only()
        if was_elsewhere and not self.store.elsewhere:
            self.reload()  # the other viewer has ended: what it wrote is on disk
        trouble = filter(None, (self.store.elsewhere, self.store.trouble))
        return wire.Folder(
            **self._folder_texts, run=None if run is None else printable(str(run)),
            read_only=read_only, notices=(*self.workspace.notices, *trouble),
            type_names=tuple(names), settings=self.workspace.settings,
            can_apply=self.workspace.cannot_apply,
        )  # fmt: skip

    def images(self) -> list[KnownImage]:
        """Return all images, sorted by name."""
        return list(self._images.values())

    def learned(self, image: KnownImage) -> None:
        """Store new knowledge about an image."""
        with self._lock:
            self._images[image.key] = image
        self.store.forget(image)
        self.tell(image)

    def forget_predictions(self) -> None:
        """Drop all cells that nobody corrected, because the run has others now."""
        for image in self.images():
            self.store.forget(image)
        self.pictures.forget_previews()

    def image(self, key: str) -> KnownImage:
        """Return an image by its key.

        Raises:
            UnknownImageError: There is none.
        """
        try:
            return self._images[key]
        except KeyError as error:
            raise UnknownImageError("there is no such image") from error

    def strip(self) -> wire.Strip:
        """See `contract.Strip`."""
        newest = self.events.newest
        images = tuple(self.entry(image) for image in list(self._images.values()))
        return wire.Strip(images=images, event=newest)

    def next(self, but: str = "") -> wire.ImageList:
        """See `contract.ROUTES`."""
        left = set(but.split(","))
        entries = [
            entry for entry in self.strip().images
            if entry.state == "ready" and not entry.done and entry.key not in left
        ]  # fmt: skip
        entries.sort(key=lambda entry: -(entry.expected_error or 0.0))
        return wire.ImageList(keys=tuple(entry.key for entry in entries))

    def entry(self, image: KnownImage) -> wire.ImageEntry:
        """Return an image as the strip shows it."""
        held = self.store.peek(image.key)
        size = image.size
        values: dict[str, Any] = {"cells": image.cells, "confluence": image.confluence}
        on_disk = self._on_disk.get(image.key)
        if held is not None:
            document = held.document
            size = document.size
            values = {
                "cells": len(document.cells), "confluence": document.confluence,
                "revision": document.revision, "corrected": document.revision > 0,
                "done": document.done, "reviewed": document.reviewed_share,
            }  # fmt: skip
        elif on_disk is not None:
            values |= {"cells": on_disk.cells, "revision": on_disk.revision, "corrected": True,
                       "done": on_disk.done, "reviewed": on_disk.reviewed}  # fmt: skip
        is_series = image.frame is not None
        return wire.ImageEntry(
            key=image.key, name=image.name, file=self._file_of(image),
            group=self._file_of(image) if is_series else "", frame=image.frame, state=image.state,
            failure=image.failure, warnings=image.warnings,
            width=None if size is None else size[1], height=None if size is None else size[0],
            expected_error=image.expected_error, thumbnail=_version(image), **values,
        )  # fmt: skip

    def _file_of(self, image: KnownImage) -> str:
        try:
            inner = image.path.absolute().relative_to(self.workspace.folder).as_posix()
        except ValueError:
            inner = image.path.name
        return printable(inner)

    def tell(self, image: KnownImage, window: str = "") -> None:
        """Tell all windows that an image changed."""
        self.events.add("image", image=self.entry(image), window=window)

    # ---- one image ------------------------------------------------------------------------------

    def info(self, key: str) -> wire.ImageInfo:
        """See `contract.ImageInfo`."""
        image = self.image(key)
        shown = self.pictures.opened(image)
        dtype, next_cell = "uint16", 1
        with suppress(TooLargeImageError), self.store.document(image) as held:
            dtype, next_cell = held.document.labels.dtype.name, held.document.next_cell
        return wire.ImageInfo(
            entry=self.entry(image), channels=shown.channels,
            pixel_size_um=shown.source.pixel_size_um, levels=levels_of(shown.size),
            is_rgb=bool(shown.colours), label_dtype=dtype, next_cell=next_cell,
            has_candidates=self.offered.has_any(image), windows=self._presence.others("", key),
            label_file=printable(str(self._label_file(image))),
            image_file=printable(str(image.path)),
        )  # fmt: skip

    def _label_file(self, image: KnownImage) -> Any:
        from bigkingxxl.io.annotations.corrections import LABELS, place_in

        corrected = place_in(self.store.folder, LABELS, self.store.journal(image).place)
        run = self.workspace.run_folder
        # The file of a cell corrected just now is written within a second.
        if corrected.is_file() or run is None or self.entry(image).corrected:
            return corrected
        from bigkingxxl.runs.store import RunStore

        predicted = RunStore(run).place("labels", image.name)
        return predicted if predicted.is_file() else corrected

    def thumbnail(self, key: str) -> bytes:
        """Return the thumbnail of an image as PNG."""
        return self.pictures.thumbnail(self.image(key))

    def labels(
        self, key: str, settings: wire.Settings | None, level: int, row: int | None,
        col: int | None,
    ) -> Raster:  # fmt: skip
        """Return the cell numbers; with settings, those of a preview.

        Raises:
            BadTileError: There is no such level or tile.
        """
        image = self.image(key)
        if settings is not None:
            start = self.pictures.preview(image, settings)
            return Raster(strided(compact(start.labels), level, row, col), 0)
        with self.store.document(image) as held:
            part = strided(held.document.labels, level, row, col).copy()
            return Raster(part, held.document.revision)

    def reviewed(self, key: str, level: int, row: int | None, col: int | None) -> Raster:
        """Return uint8: 1 in reviewed regions."""
        with self.store.document(self.image(key)) as held:
            part = strided(held.document.reviewed, level, row, col)
            return Raster(part.astype(np.uint8), held.document.revision)

    def cells(self, key: str, settings: wire.Settings | None, measurements: bool) -> wire.CellTable:
        """See `contract.CellTable`."""
        image = self.image(key)
        if settings is not None:
            start = self.pictures.preview(image, settings)
            labels, attributes, revision = start.labels, dict(start.cells), 0
        else:
            with self.store.document(image) as held:
                labels, attributes = held.document.labels.copy(), dict(held.document.cells)
                revision = held.document.revision
        return table_of(
            self.pictures.opened(image).source, labels, attributes, revision, measurements
        )

    def candidates(self, key: str) -> wire.CandidateList:
        """See `contract.CandidateList`."""
        image = self.image(key)
        found = self.offered.of(image)
        if found is None or len(found) == 0:
            return wire.CandidateList(candidates=())
        masks, order = best_masks(found)
        with self.store.document(image) as held:
            free = uncovered(masks, held.document.labels)
        return wire.CandidateList(candidates=listed(found, masks.take(free), order[free]))

    # ---- edits ----------------------------------------------------------------------------------

    def edit(self, key: str, edit: wire.Edit) -> wire.EditAccepted:
        """Make an edit.

        Raises:
            StaleError, UnfitError: The edit does not fit the cells.
            ReadOnlyError, OutputError: It cannot be written.
        """
        image = self.image(key)
        if image.state == "waiting":
            raise InputError(f"{image.name} waits to be predicted: correct it when its cells are "
                             "there", key=image.name)  # fmt: skip
        held, is_new, revision = self.store.edit(image, edit)
        if is_new:
            self._more_types.update(
                dict.fromkeys(each.after.type for each in edit.cells if each.after is not None)
            )
            self.tell(image, edit.window)
        return wire.EditAccepted(revision=revision, next_cell=held.document.next_cell)

    def conflict(self, key: str, error: str) -> wire.Conflict:
        """Return why an edit was not made."""
        with self.store.document(self.image(key)) as held:
            return wire.Conflict(
                error=error, revision=held.document.revision, window=held.document.last_window
            )

    def edits(self, key: str, after: int) -> wire.EditList:
        """See `contract.EditList`."""
        with self.store.document(self.image(key)) as held:
            found = held.journal.edits(after)
            return wire.EditList(revision=held.document.revision, edits=tuple(found))

    # ---- open windows ---------------------------------------------------------------------------

    def present(self, said: wire.Presence) -> wire.PresenceAnswer:
        """Note that a window has an image open."""
        if said.key is not None:
            self.image(said.key)
        if self._presence.note(said.window, said.key):
            self.events.add("windows", window=said.window)
        if said.key is None:
            return wire.PresenceAnswer(windows=0, revision=0)
        with self.store.document(self.image(said.key)) as held:
            revision = held.document.revision
        others = self._presence.others(said.window, said.key)
        return wire.PresenceAnswer(windows=others, revision=revision)


@dataclass(frozen=True)
class _Corrected:
    """What is on disk of an image's corrections."""

    revision: int
    done: bool
    reviewed: float
    cells: int


def _version(image: KnownImage) -> str:
    """Return a text that changes when the image's file does."""
    try:
        found = image.path.stat()
    except OSError:
        return "0"
    return f"{found.st_mtime_ns:x}"
