"""The claim of this process to be the only one that writes corrections into a folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bigkingxxl.files import clear_temporaries
from bigkingxxl.locks import locked

LOCK = ".lock"
ELSEWHERE = (
    "another `bigkingxxl view` has this folder open: use that one, or stop it and reload this page "
    "again"
)


class ReadOnlyError(Exception):
    """Nothing can be written into the folder; the sentence says why."""


class FolderClaim:
    """Whether this process may write into a folder; not safe for threads.

    Args:
        folder: The folder of corrections.
        read_only: Why nothing can ever be written there, in one sentence, or "".
        on_news: Called when it turns out that another viewer has the folder.

    Attributes:
        elsewhere: A sentence on another viewer that has the folder, as of the last attempt, or "".
        is_taken: Whether this process is the one that writes.
    """

    def __init__(self, folder: Path, read_only: str, on_news: Callable[[], None]) -> None:
        self.folder, self.read_only, self._on_news = folder, read_only, on_news
        self.elsewhere = ""
        self.is_taken = False
        self._lock = ExitStack()

    def take(self) -> bool:
        """Take the folder; return whether this process did not have it yet.

        Raises:
            ReadOnlyError: The folder cannot be written, or another viewer has it open.
            OutputError: The folder cannot be created.
        """
        if self.read_only:
            raise ReadOnlyError(self.read_only)
        if self.is_taken:
            return False
        if not self._lock.enter_context(locked(self.folder / LOCK, wait=False)):
            self._lock.close()
            is_news, self.elsewhere = not self.elsewhere, ELSEWHERE
            if is_news:  # the pages become read-only
                self._on_news()
            raise ReadOnlyError(self.elsewhere)
        self.is_taken = True
        self.elsewhere = ""
        clear_temporaries(self.folder, recursive=True)
        return True

    def close(self) -> None:
        """Let other processes write."""
        self._lock.close()
