"""Download the challenge's data from Kaggle, or unpack existing archives, into a data folder.

The competition's files go into the folder itself, and the public COCO annotations into `coco/`. The
unpacked files and the archive's SHA-256 are recorded in `download.json`; complete archives are not
downloaded again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bigkingxxl.data.fetch.kaggle_client import COCO_DATASET, COMPETITION, KaggleClient
from bigkingxxl.data.fetch.transfer import fetch
from bigkingxxl.data.fetch.unpack import archive_names, unpack
from bigkingxxl.data.output_folder import writable_folder
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import FormatError
from bigkingxxl.files import file_hash, write_json

RECORD = "download.json"
ANNOTATIONS = "train.csv"
COCO_FOLDER = "coco"


@dataclass(frozen=True)
class Downloaded:
    """An unpacked archive.

    Attributes:
        name: Its name at Kaggle, or the file name of a local archive.
        bytes: The size of the archive.
        sha256: The hash of the archive.
        files: The size of each file in it, by its path in the data folder.
    """

    name: str
    bytes: int
    sha256: str
    files: Mapping[str, int] = field(repr=False)


def download(
    folder: Path,
    *,
    with_coco: bool = True,
    keep_archives: bool = False,
    track: Track = untracked,
    client: Callable[[], KaggleClient] = KaggleClient,
) -> list[Downloaded]:
    """Download and unpack the competition's data and the public COCO annotations.

    Args:
        folder: The data folder.
        with_coco: Whether to download the COCO annotations as well.
        keep_archives: Whether to keep the archives after unpacking.
        track: Wraps iterables to show progress.
        client: Creates the authenticated client; called only if something is missing.

    Raises:
        MissingExtraError: Kaggle's client is not installed.
        InputError: Kaggle refuses or cannot be reached; the message says what to do.
        FormatError: An archive is damaged or unsafe.
        OutputError: The disk is full or the folder cannot be written.
    """
    wanted = {COMPETITION: "competition", **({COCO_DATASET: "coco_dataset"} if with_coco else {})}
    record = _Record(folder)
    signed_in: KaggleClient | None = None
    for name, opener in wanted.items():
        if record.is_complete(name):
            continue
        signed_in = signed_in or client()
        writable_folder(folder, "choose another folder")
        archive = folder / f"{PurePosixPath(name).name}.zip"
        if not archive.is_file():
            fetch(getattr(signed_in, opener), archive, track=track)
        record.add(_unpacked(archive, folder, name, track))
        if not keep_archives:
            archive.unlink()
    return [record.entries[name] for name in wanted]


def unpack_archives(
    folder: Path, archives: Sequence[Path], *, track: Track = untracked
) -> list[Downloaded]:
    """Unpack local archives, which are kept.

    Raises:
        InputError: See `unpack.unpack`.
        FormatError: See `unpack.unpack`; or an archive contains neither `train.csv` nor COCO
            annotations.
        OutputError: See `unpack.unpack`.
    """
    writable_folder(folder, "choose another folder")
    record = _Record(folder)
    for archive in archives:
        record.add(_unpacked(archive, folder, archive.name, track))
    return [record.entries[archive.name] for archive in archives]


def _unpacked(archive: Path, folder: Path, name: str, track: Track) -> Downloaded:
    place, below = _destination(archive)
    files = unpack(archive, folder / place, below=below, track=track)
    there = {str(PurePosixPath(place) / file): size for file, size in files.items()}
    return Downloaded(name, archive.stat().st_size, file_hash(archive), there)


def _destination(archive: Path) -> tuple[str, str]:
    """Return the target of an archive in the data folder, and the folder in it to start from."""
    names = [PurePosixPath(name) for name in archive_names(archive)]
    tables = [name for name in names if name.name == ANNOTATIONS]
    if tables:
        # In the competition's archive, the folder of LIVECell is deeper than the table.
        return "", str(min(tables, key=lambda name: len(name.parts)).parent)
    if any(name.suffix == ".json" for name in names):
        return COCO_FOLDER, ""
    raise FormatError(
        f"{archive} contains neither {ANNOTATIONS} nor COCO annotations (.json), expected the "
        f"archive of the competition {COMPETITION} or of the data set {COCO_DATASET}",
        file=archive,
        expected=ANNOTATIONS,
    )


class _Record:
    """The record of unpacked archives, `download.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RECORD
        self.entries: dict[str, Downloaded] = {}
        try:
            stored: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            self.entries = {name: Downloaded(**entry) for name, entry in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self.entries = {}

    def is_complete(self, name: str) -> bool:
        """Return whether all files of an archive exist with the right size."""
        if name not in self.entries:
            return False
        files = self.entries[name].files
        places = ((self.folder / place, size) for place, size in files.items())
        return all(path.is_file() and path.stat().st_size == size for path, size in places)

    def add(self, entry: Downloaded) -> None:
        self.entries[entry.name] = entry
        write_json(self.path, {name: asdict(kept) for name, kept in self.entries.items()})
