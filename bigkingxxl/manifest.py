"""The record of a run over many items, updated on disk after each item so that a run can resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bigkingxxl.errors import OutputError
from bigkingxxl.files import append_whole, write_bytes
from bigkingxxl.locks import locked


class Manifest:
    """The record of a run over many items, updated on disk after each item so that it can resume.

    The file holds JSON lines: the key, then one line per item; the last line of an item counts.
    Each line is appended atomically; a line cut short by a crash is ignored, and its item counts as
    not done. Several processes may share one manifest.

    Args:
        path: The manifest file.
        key: A fingerprint of everything that determines the results; another key starts a new
            record.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.done: dict[str, Any] = {}
        self._appends, self._inode = False, 0
        self._refresh()

    def record(self, item: str, result: Any) -> None:
        """Record the result of an item on disk.

        Raises:
            OutputError: The manifest cannot be written.
        """
        self.done[item] = result
        self._keep({"item": item, "result": result})

    def forget(self, item: str) -> None:
        """Mark an item as not done."""
        if item in self.done:
            del self.done[item]
            self._keep({"item": item})

    def complete(self, item: str, is_there: Callable[[Any], bool] = lambda _: True) -> bool:
        """Return whether the item was done under this key and its outputs still exist."""
        return item in self.done and is_there(self.done[item])

    def _refresh(self) -> None:
        """Read the file again if it has been replaced; results recorded by this object are kept.

        Another process may have created it, or restarted it under another key.
        """
        inode = _inode(self.path)
        if inode == 0 or inode != self._inode:
            known = self.done.copy()
            self.done.clear()
            self._appends, self._inode = self._read(), inode
            self.done |= known

    def _read(self) -> bool:
        """Read the results of this key; return False unless another line can be appended."""
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
            self._refresh()
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
    """Parse a line as a JSON object; return {} if it is not one."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
