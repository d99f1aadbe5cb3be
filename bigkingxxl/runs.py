"""Run folders: outputs that appear whole or not at all, and a manifest of what made them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from bigkingxxl.errors import OutputError

REPORTED_VERSIONS = ("bigkingxxl", "numpy", "scikit-image", "onnxruntime", "torch", "torchvision",
                     "timm", "lightning", "monai")  # fmt: skip

CANNOT_WRITE = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR,
    errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG,
))  # fmt: skip


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; moved into place when the block succeeds, else removed.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    # The ending is kept: many writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise OutputError(f"{path} cannot be written: {os.strerror(error.errno)}") from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    # Where even this fails there is nothing to remove, and the error before it counts.
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all, with plain line ends."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False, default=str) + "\n")


def make_folder(path: Path) -> Path:
    """The folder, made if need be.

    Raises:
        OutputError: it cannot be made, or a file is in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be made a folder: {error.strerror}") from error
    return path


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in REPORTED_VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def provenance(seed: int | None = None) -> dict[str, Any]:
    """Date, command, machine, versions and seed: what stands in every result file."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "device": device(),
        "versions": versions(),
        "seed": seed,
    }


def device() -> str:
    """The machine in words: its system, its cores and, where torch is at work, its GPU."""
    found = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    torch = sys.modules.get("torch")  # who has not loaded it does not work with a GPU
    if torch is not None and torch.cuda.is_available():
        found += f", {torch.cuda.get_device_name()}"
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """A short hash that changes when any part does."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:16]


class Manifest:
    """What a run over many items has done, kept on disk after each item, so that it can resume.

    JSON lines: the key, then one line an item, the last one of an item holding. Each is appended
    in one piece; what a crash cut short is no line, and its item counts as not done.

    Args:
        path: the manifest's file.
        key: fingerprint of everything that decides the results; another key starts afresh.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.done: dict[str, Any] = {}
        self._appends = self._read()

    def record(self, item: str, result: Any) -> None:
        """Keep one item's result, on disk as well.

        Raises:
            OutputError: it cannot be written.
        """
        self.done[item] = result
        self._keep({"item": item, "result": result})

    def forget(self, item: str) -> None:
        """Let an item that was done count as not done."""
        if item in self.done:
            del self.done[item]
            self._keep({"item": item})

    def complete(self, item: str, is_there: Callable[[Any], bool] = lambda _: True) -> bool:
        """True where the item was done under this key and its outputs are still there."""
        return item in self.done and is_there(self.done[item])

    def _read(self) -> bool:
        """Take what the file holds of this key; False where a line cannot simply follow it."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return False
        lines = [_object(line) for line in content.split(b"\n")]
        if lines[0].get("key") != self.key:
            return False
        for line in lines[1:]:
            if "result" in line:
                self.done[str(line.get("item"))] = line["result"]
            else:
                self.done.pop(str(line.get("item")), None)
        return content.endswith(b"\n")

    def _keep(self, line: dict[str, Any]) -> None:
        if not self._appends:
            known = [{"item": item, "result": result} for item, result in self.done.items()]
            write_bytes(self.path, b"".join(map(_line, [{"key": self.key}, *known])))
            self._appends = True
            return
        try:
            append_whole(self.path, _line(line))
        except OutputError:
            self._appends = False
            raise


def append_whole(path: Path, content: bytes) -> None:
    """Append to a file that is there, all of it or nothing.

    Raises:
        OutputError: the disk is full or the file cannot be written.
    """
    try:
        with path.open("ab", buffering=0) as stream:
            end = stream.tell()
            try:
                if stream.write(content) != len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except BaseException:
                stream.truncate(end)
                raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=str).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    """A line's JSON object, empty where it is none."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
