"""Run a command that ends in an orderly way when the viewer that started it ends.

python -m bigkingxxl.viewer.run_as_child train finetune ...

The viewer keeps its stdin open; the operating system closes it when the viewer ends in any way. The
command is then stopped as if by SIGTERM and saves its state, so that nothing continues unnoticed.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from bigkingxxl.processes import end_this_process

SECONDS_TO_END = 60.0
STDIN = 0
PROGRAM = "bigkingxxl"


def end_with_stdin() -> None:
    """Stop this process in an orderly way when its stdin is closed."""
    sys.stdout = Unheard(sys.stdout)
    threading.Thread(target=_wait, name="attended", daemon=True).start()


def _wait() -> None:
    with suppress(OSError):
        while os.read(STDIN, 1):  # not through Python's buffer, whose lock would prevent the exit
            pass
    end_this_process()
    time.sleep(SECONDS_TO_END)
    os._exit(1)


class Unheard:
    """A stream that accepts output even if nobody reads it any longer."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text; errors of a closed stream are ignored."""
        with suppress(BrokenPipeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream; errors of a closed stream are ignored."""
        with suppress(BrokenPipeError):
            self._stream.flush()


def main() -> None:
    """Run the command."""
    end_with_stdin()
    sys.argv[0] = PROGRAM
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
