"""The edits of one image on disk: an initial state, and a line per edit.

    journal/<image>.npz         cells, reviewed region and the rest before the first edit
    journal/<image>.jsonl       a header, then an edit per line; only appended to
    journal/<image>.state.npz   the state after some of the edits, for fast opening

A line is flushed to disk before the edit is answered. A line cut short by a crash is ignored; its
edit was never answered.
"""

from __future__ import annotations

import io
import json
import logging
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import ValidationError

from bigkingxxl.errors import FormatError
from bigkingxxl.files import append_whole, write_durably
from bigkingxxl.io.annotations.corrections import JOURNAL
from bigkingxxl.viewer.contract import Edit, PastEdit
from bigkingxxl.viewer.server.document import (
    Answered,
    Document,
    StaleError,
    UnfitError,
    cells_as_json,
    cells_of_json,
)

log = logging.getLogger(__name__)
FORMAT = "bigkingxxl-journal-1"
STATE_EVERY = 400  # edits after which the state is written again


@dataclass
class Journal:
    """The journal of one image.

    Args:
        folder: The folder of corrections.
        place: The relative path of the image's files in it.

    Attributes:
        lines: The number of bytes of complete lines in the journal.
        state_at: The revision of the newest state.
    """

    folder: Path
    place: str
    lines: int = field(default=0, init=False)
    state_at: int = field(default=0, init=False)

    @property
    def path(self) -> Path:
        """The file of edits."""
        return self._file(".jsonl")

    @property
    def start_path(self) -> Path:
        """The file of the state before the first edit."""
        return self._file(".npz")

    @property
    def state_path(self) -> Path:
        """The file of a later state."""
        return self._file(".state.npz")

    def _file(self, ending: str) -> Path:
        inner = PurePosixPath(self.place)
        return self.folder / JOURNAL / inner.with_name(f"{inner.name}{ending}")

    def exists(self) -> bool:
        """Whether there is any edit."""
        return self.path.is_file()

    # ---- writing --------------------------------------------------------------------------------

    def begin(self, document: Document, head: dict[str, str]) -> None:
        """Start a journal with an unedited document.

        Args:
            document: The document.
            head: Metadata of the image.

        Raises:
            OutputError: It cannot be written.
        """
        self.state_path.unlink(missing_ok=True)
        self._write(self.start_path, document)
        line = _line({"format": FORMAT, **head})
        write_durably(self.path, line)
        self.lines = len(line)

    def append(self, edit: Edit) -> None:
        """Write an edit to disk.

        Raises:
            OutputError: It cannot be written, and no part of it was.
        """
        line = _line({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                      "edit": edit.model_dump(mode="json")})  # fmt: skip
        append_whole(self.path, line, durable=True)
        self.lines += len(line)

    def write_state(self, document: Document) -> None:
        """Write the state after all edits so far.

        Raises:
            OutputError: It cannot be written.
        """
        self._write(self.state_path, document)
        self.state_at = document.revision

    def _write(self, path: Path, document: Document) -> None:
        header = {
            "format": FORMAT, "revision": document.revision,
            "next_cell": document.next_cell, "done": document.done, "lines": self.lines,
            "last_window": document.last_window,
            "windows": {name: vars(last) for name, last in document.windows.items()},
            "cells": cells_as_json(document.cells),
        }  # fmt: skip
        arrays = {
            "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
            "labels": document.labels,
            "reviewed": np.packbits(document.reviewed),
        }
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.ascontiguousarray(array))
        write_durably(path, content.getvalue())

    # ---- reading --------------------------------------------------------------------------------

    def load(self, *, repair: bool) -> Document:
        """Load the cells after all edits on disk.

        Args:
            repair: Whether to remove a line that a crash cut short; nobody else may be writing.

        Raises:
            FormatError: A file is damaged, or a newer version wrote it.
            OutputError: An incomplete line cannot be removed.
        """
        document, offset = self._newest_state()
        self.state_at = document.revision
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content) and repair:
            with self.path.open("r+b") as stream:
                stream.truncate(whole)
        self.lines = whole
        self._head(content)
        for past in self._edits(content[offset or content.find(b"\n") + 1 : whole]):
            try:
                document.check(past.edit)
                document.apply(past.edit)
            except (StaleError, UnfitError) as error:
                raise FormatError(
                    f"{self.path} is damaged: edit {document.revision + 1} does not fit what is "
                    f"before it ({error})",
                    file=self.path,
                    found=document.revision + 1,
                ) from error
        return document

    def start(self) -> Document:
        """Load the cells before the first edit.

        Raises:
            FormatError: The file is damaged, or a newer version wrote it.
        """
        return self._state(self.start_path)[0]

    def edits(self, after: int = 0) -> list[PastEdit]:
        """Return the edits after a revision, the oldest first.

        Raises:
            FormatError: The file is damaged.
        """
        if not self.exists():
            return []
        content = self.path.read_bytes()
        lines = content[content.find(b"\n") + 1 : content.rfind(b"\n") + 1]
        return [past for past in self._edits(lines) if past.edit.revision >= after]

    def _edits(self, lines: bytes) -> Iterator[PastEdit]:
        for line in lines.splitlines():
            try:
                yield PastEdit.model_validate_json(line)
            except ValidationError as error:
                raise FormatError(
                    f"{self.path} is damaged: a line is not a valid edit", file=self.path
                ) from error

    def head(self) -> dict[str, Any]:
        """Return the metadata of the image.

        Raises:
            FormatError: The file is damaged, or a newer version wrote it.
        """
        with self.path.open("rb") as stream:
            return self._head(stream.readline())

    def _head(self, content: bytes) -> dict[str, Any]:
        try:
            head: dict[str, Any] = json.loads(content[: content.find(b"\n") + 1])
            found = head["format"]
        except (ValueError, LookupError, TypeError) as error:
            raise FormatError(
                f"{self.path} is damaged: it does not begin as a journal", file=self.path
            ) from error
        if found != FORMAT:
            raise FormatError(
                f"{self.path} was written by another version ({found})",
                file=self.path,
                key="format",
                found=found,
            )
        return head

    def _newest_state(self) -> tuple[Document, int]:
        if self.state_path.is_file():
            try:
                return self._state(self.state_path)
            except FormatError as error:  # it only saves time
                log.warning("%s", error)
        return self._state(self.start_path)

    def _state(self, path: Path) -> tuple[Document, int]:
        """Return a state, and the position in the journal of the edits after it."""
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                header: dict[str, Any] = json.loads(archive["header"].tobytes())
                if header["format"] != FORMAT:
                    raise FormatError(f"{path} was written by another version", file=path)
                labels = archive["labels"]
                reviewed = np.unpackbits(archive["reviewed"], count=labels.size)
            windows = {name: Answered(**last) for name, last in header["windows"].items()}
            return Document(
                labels, cells_of_json(header["cells"]), reviewed.reshape(labels.shape) != 0,
                header["done"], header["revision"], header["next_cell"], windows,
                header["last_window"],
            ), int(header["lines"])  # fmt: skip
        except FormatError:
            raise
        # zipfile, zlib and numpy raise many kinds of exception for a broken archive.
        except Exception as error:
            raise FormatError(f"{path} is damaged ({error})", file=path) from error


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
