"""Whether a server answers, known in seconds: libraries that download try again for minutes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

SECONDS = 4.0


def is_reachable(url: str, seconds: float = SECONDS) -> bool:
    """Whether the server of an address answers in time, be it with a refusal.

    Proxies are those of the environment.
    """
    answered: list[bool] = []
    parts = urlsplit(url)

    def ask() -> None:
        try:
            request = Request(f"{parts.scheme}://{parts.netloc}/", method="HEAD")
            with urlopen(request, timeout=seconds):
                answered.append(True)
        except HTTPError as error:
            error.close()
            answered.append(True)
        except (OSError, ValueError):
            answered.append(False)

    # Looking up a name knows no limit of time: it is left behind.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered == [True]


@contextmanager
def patience(seconds: float = SECONDS) -> Iterator[None]:
    """Within the block, connections without a limit of their own wait no longer than this."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
