"""Download a large file over HTTP: resume after interruptions and verify the result."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigkingxxl.data.output_folder import check_space
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import InputError
from bigkingxxl.files import write_json

MEBIBYTE = 1 << 20
ATTEMPTS_WITHOUT_PROGRESS = 4
SECONDS_BEFORE_RETRY = 1.0
TIMEOUT = (30, 120)  # seconds to connect, and between two chunks
SPARE = 50 * MEBIBYTE

OpenRemote = Callable[[], Any]


@dataclass(frozen=True)
class Remote:
    """The properties of a remote file.

    Attributes:
        size: The size in bytes, or None if unknown.
        version: Changes with the file (its ETag or date), or None.
        md5: The MD5 in hexadecimal, or None.
    """

    size: int | None
    version: str | None
    md5: str | None

    @classmethod
    def of(cls, headers: Any) -> Remote:
        """Read the properties from headers; Google's storage, used by Kaggle, sends an MD5."""
        encoded = "Content-Encoding" in headers
        size = headers.get("Content-Length", "")
        hashes = dict(
            part.strip().split("=", 1)
            for part in headers.get("x-goog-hash", "").split(",")
            if "=" in part
        )
        md5 = hashes.get("md5") or headers.get("Content-MD5")
        return cls(
            int(size) if size.isdecimal() and not encoded else None,
            headers.get("ETag") or headers.get("Last-Modified"),
            base64.b64decode(md5).hex() if md5 and not encoded else None,
        )


def fetch(
    open_remote: OpenRemote,
    target: Path,
    *,
    track: Track = untracked,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a file; incomplete data are kept in `<target>.part`.

    A broken connection is resumed, immediately and in a later call. Bytes are appended only to a
    part of the same version of the file; otherwise the download restarts.

    Args:
        open_remote: Opens the file as a streaming response of `requests`; called again after an
            interruption, because links expire. Exceptions other than connection errors are passed
            on.
        target: The file.
        track: Wraps iterables to show progress.
        wait: Waits for some seconds.

    Raises:
        InputError: The connection keeps failing, or the file is corrupt.
        OutputError: The disk is full.
    """
    from requests import RequestException

    part = target.with_name(target.name + ".part")
    failures, came = 0, _length(part)
    while True:
        try:
            remote = _receive(open_remote, part, track)
            break
        except RequestException as error:
            failures = 0 if _length(part) > came else failures + 1
            came = _length(part)
            if failures >= ATTEMPTS_WITHOUT_PROGRESS:
                raise InputError(
                    f"the connection broke while {target.name} was downloaded: run the command "
                    f"again; the {came / MEBIBYTE:,.1f} MiB that were received are kept "
                    f"({type(error).__name__})",
                    file=target,
                    found=came,
                ) from error
            wait(SECONDS_BEFORE_RETRY * 2**failures)
    _check_whole(part, remote, target.name)
    part.replace(target)
    _note(part).unlink(missing_ok=True)
    return target


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _receive(open_remote: OpenRemote, part: Path, track: Track) -> Remote:
    """Download all missing data."""
    with closing(open_remote()) as response:
        remote = Remote.of(response.headers)
        there = _length(part) if _is_of_version(part, remote) else 0
        if there and there == remote.size:
            return remote
        if there and (rest := _rest(response.request, there, remote)):
            response.close()
            with closing(rest):
                _append(rest, part, there, remote, track)
        else:
            write_json(_note(part), {"version": remote.version, "size": remote.size})
            _append(response, part, 0, remote, track)
    return remote


def _append(response: Any, part: Path, there: int, remote: Remote, track: Track) -> None:
    """Write the data that follow the first `there` bytes of the part."""
    from requests import ConnectionError as BrokenConnection

    total = None
    if remote.size is not None:
        check_space(part.parent, remote.size - there + SPARE, f"downloading {part.stem}")
        total = -(-(remote.size - there) // MEBIBYTE)
    with part.open("ab" if there else "wb") as out:
        for chunk in track(_chunks(response), total, f"downloading {part.stem} (MiB)"):
            out.write(chunk)
    if remote.size is not None and _length(part) < remote.size:
        raise BrokenConnection(f"{_length(part)} of {remote.size} bytes came")


def _chunks(response: Any) -> Iterator[bytes]:
    chunks: Iterator[bytes] = response.iter_content(MEBIBYTE)
    return chunks


def _is_of_version(part: Path, remote: Remote) -> bool:
    """Return whether the part is the beginning of the current remote file."""
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    same = note == {"version": remote.version, "size": remote.size}
    return same and remote.version is not None and _length(part) <= (remote.size or 0)


def _rest(request: Any, there: int, remote: Remote) -> Any:
    """Return a response with the bytes from `there` on, or None if that is not supported."""
    import requests

    request = request.copy()
    request.headers.update({"Range": f"bytes={there}-", "If-Range": str(remote.version)})
    with requests.Session() as session:
        settings = session.merge_environment_settings(request.url, {}, True, None, None)
        rest = session.send(request, timeout=TIMEOUT, **settings)
    begins = rest.headers.get("Content-Range", "").startswith(f"bytes {there}-")
    if rest.status_code == requests.codes.partial_content and begins:
        return rest
    rest.close()
    return None


def _check_whole(part: Path, remote: Remote, name: str) -> None:
    """Remove and refuse a file that differs from the remote one.

    Raises:
        InputError: The size or the checksum differs.
    """
    if remote.size is not None and _length(part) != remote.size:
        found, expected = f"{_length(part):,} bytes", f"{remote.size:,}"
    elif remote.md5 is not None and (md5 := _md5(part)) != remote.md5:
        found, expected = f"the MD5 checksum {md5}", remote.md5
    else:
        return
    part.unlink()
    _note(part).unlink(missing_ok=True)
    raise InputError(
        f"{name} has {found}, but the server announced {expected}: the file was removed; run the "
        "command again",
        key=name,
        found=found,
        expected=expected,
    )


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
