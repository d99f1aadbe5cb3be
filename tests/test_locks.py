"""Locks of files, on POSIX and with the functions of Windows."""

from __future__ import annotations

import ctypes
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bigkingxxl.locks import locked

try:
    import fcntl
except ImportError:
    pytest.skip("stands in for Windows' locks by those of POSIX", allow_module_level=True)


class Kernel:
    """Windows' kernel32 as far as it is asked: `LockFileEx`, by the locks of this system."""

    def __init__(self) -> None:
        self.error = 0

    def LockFileEx(self, handle: Any, flags: int, *_: object) -> bool:  # noqa: N802
        how = (fcntl.LOCK_EX if flags & 2 else fcntl.LOCK_SH) | (fcntl.LOCK_NB if flags & 1 else 0)
        try:
            fcntl.flock(handle.value, how)
        except BlockingIOError:
            self.error = 33
            return False
        return True


@pytest.fixture(params=["posix", "windows"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "windows":
        kernel, remove = Kernel(), Path.unlink
        monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: kernel, raising=False)
        monkeypatch.setattr(ctypes, "get_last_error", lambda: kernel.error, raising=False)
        monkeypatch.setitem(sys.modules, "fcntl", None)
        monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(get_osfhandle=lambda each: each))
        monkeypatch.setattr(sys, "platform", "win32")

        def remove_unless_open(path: Path) -> None:
            opened = Path("/proc/self/fd").iterdir()
            if any(each.exists() and each.samefile(path) for each in opened):
                raise PermissionError(13, "is being used by another process", str(path))
            remove(path)

        monkeypatch.setattr(Path, "unlink", remove_unless_open)
    return str(request.param)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads which files are open")
def test_one_holder_excludes_all_others_and_leaves_nothing(system: str, tmp_path: Path) -> None:
    path = tmp_path / "locks" / "one"
    with locked(path) as first, locked(path, wait=False) as second:
        assert (first, second) == (True, False)
        with locked(path, wait=False, shared=True) as third:
            assert not third
    with locked(path, wait=False) as again:
        assert again
    assert not path.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads which files are open")
def test_shared_holders_exclude_only_one_that_wants_it_alone(system: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    with locked(path, shared=True) as first:
        with locked(path, shared=True, wait=False) as second:
            assert (first, second) == (True, True)
        assert path.exists()
        with locked(path, wait=False) as alone:
            assert not alone
    assert not path.exists()


def test_a_waiting_process_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []

    def wait() -> None:
        with locked(path):
            order.append("second")

    with locked(path):
        thread = threading.Thread(target=wait)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
