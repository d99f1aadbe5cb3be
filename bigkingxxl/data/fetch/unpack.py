"""Unpack an untrusted zip archive: nothing outside the folder, no links, no zip bombs."""

from __future__ import annotations

import shutil
import stat
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from bigkingxxl.data.output_folder import check_space
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.files import make_folder, whole_file

MOST_FILES = 1_000_000
LARGEST_RATIO = 100  # images hardly shrink and tables about tenfold; a higher ratio is an attack
ENCRYPTED = 0x1
CHUNK = 1 << 20


def archive_names(archive: Path) -> list[str]:
    """List the files in a zip archive.

    Raises:
        InputError: The file does not exist.
        FormatError: It is not a zip archive, is truncated, or contains what `unpack` refuses.
    """
    with _opened(archive) as opened:
        return [member.filename for member in _checked_members(archive, opened)]


def unpack(
    archive: Path, folder: Path, *, below: str = "", track: Track = untracked
) -> dict[str, int]:
    """Unpack a zip archive; existing files with the same content are not changed.

    Args:
        archive: The archive.
        folder: The target folder.
        below: Unpack only this folder of the archive, without its name.
        track: Wraps iterables to show progress.

    Returns:
        The size of each file by its path in `folder`.

    Raises:
        InputError: The archive does not exist.
        FormatError: It is not a zip archive, is damaged or truncated; a file in it would be written
            outside the folder, is a link, a device, encrypted or duplicate; or its compression
            ratio is suspicious.
        OutputError: The disk is full or the folder cannot be written.
    """
    make_folder(folder)
    with _opened(archive) as opened:
        members = [
            member
            for member in _checked_members(archive, opened)
            if PurePosixPath(member.filename).is_relative_to(below)
        ]
        places = {
            str(PurePosixPath(member.filename).relative_to(below)): member for member in members
        }
        missing = [
            (folder / place, member)
            for place, member in places.items()
            if not _is_there(folder / place, member)
        ]
        check_space(folder, sum(member.file_size for _, member in missing), f"unpacking {archive}")
        for target, member in track(missing, len(missing), "unpacking"):
            _write(archive, opened, member, target, folder)
    return {place: member.file_size for place, member in places.items()}


class _opened:  # noqa: N801 - reads as a function
    """An open archive; structural errors become one sentence."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive

    def __enter__(self) -> ZipFile:
        if not self.archive.is_file():
            raise InputError(f"there is no archive {self.archive}", file=self.archive)
        try:
            self.opened = ZipFile(self.archive)
        except BadZipFile as error:
            raise FormatError(
                f"{self.archive} is not a zip archive, or it is truncated ({error})",
                file=self.archive,
            ) from error
        except OSError as error:
            raise InputError(
                f"{self.archive} cannot be read: {error.strerror}", file=self.archive
            ) from error
        return self.opened

    def __exit__(self, *_: object) -> None:
        self.opened.close()


def _checked_members(archive: Path, opened: ZipFile) -> list[ZipInfo]:
    members = [member for member in opened.infolist() if not member.is_dir()]
    seen: set[str] = set()
    for member in members:
        if problem := _problem(member) or ("comes twice" if member.filename in seen else ""):
            raise FormatError(
                f"{archive} is not unpacked: the file '{member.filename}' in it {problem}",
                file=archive,
                key=member.filename,
            )
        seen.add(member.filename)
    unpacked = sum(member.file_size for member in members)
    packed = archive.stat().st_size
    if len(members) > MOST_FILES or unpacked > LARGEST_RATIO * packed:
        raise FormatError(
            f"{archive} is not unpacked: its {packed:,} bytes would become {len(members):,} files "
            f"with {unpacked:,} bytes, which is typical of a decompression bomb",
            file=archive,
            found=unpacked,
        )
    return [member for member in members if not member.filename.startswith("__MACOSX/")]


def _problem(member: ZipInfo) -> str:
    """Return what is wrong with a file of an archive, or ''."""
    name = member.filename
    windows = PureWindowsPath(name)
    if windows.drive or windows.root or ".." in windows.parts or "\0" in name or not name.strip():
        return "would be written outside the folder"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "is a link" if kind == stat.S_IFLNK else "is not a regular file"
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    return ""


def _is_there(target: Path, member: ZipInfo) -> bool:
    if not target.is_file() or target.stat().st_size != member.file_size:
        return False
    checksum = 0
    with target.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum == member.CRC


def _write(archive: Path, opened: ZipFile, member: ZipInfo, target: Path, folder: Path) -> None:
    # An existing link in the folder must not lead out of it either.
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise FormatError(
            f"{archive}: '{member.filename}' would be written outside {folder}",
            file=archive,
            key=member.filename,
            expected=folder,
        )
    try:
        # Reading to the end verifies the checksum; a file never yields more than it declares.
        with (
            whole_file(target) as temporary,
            opened.open(member) as packed,
            temporary.open("wb") as out,
        ):
            shutil.copyfileobj(packed, out, CHUNK)
    except (BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise FormatError(
            f"{archive} is damaged: '{member.filename}' cannot be unpacked ({error})",
            file=archive,
            key=member.filename,
        ) from error
