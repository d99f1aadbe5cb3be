"""A command of the program that ends in good order when the viewer that started it is gone.

python -m bigkingxxl.viewer.attended train finetune ...

Its stdin is held open by the viewer; the system closes it when that ends, however it ends. The
command is then told to stop, as if by SIGTERM, and keeps its state: nothing trains on unseen.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

SECONDS_TO_END = 60.0
STDIN = 0
PROGRAM = "bigkingxxl"


def end_with_stdin() -> None:
    """Stop this process, in good order, when nothing holds its stdin open any longer."""
    sys.stdout = Unheard(sys.stdout)
    threading.Thread(target=_wait, name="attended", daemon=True).start()


def _wait() -> None:
    with suppress(OSError):
        while os.read(STDIN, 1):  # not through Python's buffer: its lock would hinder the end
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(1)


class Unheard:
    """A stream that may be written to although nobody reads it any longer."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As of any stream."""
        with suppress(BrokenPipeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As of any stream."""
        with suppress(BrokenPipeError):
            self._stream.flush()


def main() -> None:
    """Run the command."""
    end_with_stdin()
    sys.argv[0] = PROGRAM
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
