"""What a run over many items has done, kept on disk after each item, so that it can resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bigkingxxl.errors import OutputError
from bigkingxxl.files import append_whole, write_bytes
from bigkingxxl.locks import locked


class Manifest:
    """What a run over many items has done, kept on disk after each item, so that it can resume.

    JSON lines: the key, then one line an item, the last one of an item holding. Each is appended
    in one piece; what a crash cut short is no line, and its item counts as not done. Several
    processes may keep one manifest.

    Args:
        path: the manifest's file.
        key: fingerprint of everything that decides the results; another key starts afresh.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.done: dict[str, Any] = {}
        self._appends, self._inode = False, 0
        self._look()

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

    def _look(self) -> None:
        """Take what the file holds where it is another one than before; what is known here stays.

        Another process may have begun it, or begun it afresh under another key.
        """
        inode = _inode(self.path)
        if inode == 0 or inode != self._inode:
            known = self.done.copy()
            self.done.clear()
            self._appends, self._inode = self._read(), inode
            self.done |= known

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
        with locked(self.path.with_name(f".{self.path.name}.lock")):
            self._look()
            if not self._appends:
                known = [{"item": item, "result": result} for item, result in self.done.items()]
                write_bytes(self.path, b"".join(map(_line, [{"key": self.key}, *known])))
                self._appends, self._inode = True, _inode(self.path)
                return
            try:
                append_whole(self.path, _line(line))
            except OutputError:
                self._appends = False
                raise


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=str).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    """A line's JSON object, empty where it is none."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
