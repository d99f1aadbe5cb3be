"""A quick check whether a server can be reached; download libraries retry for minutes."""

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
    """Return whether a server responds in time, even with an error; proxies are respected."""
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

    # A name lookup has no timeout, so its thread is abandoned.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered == [True]


@contextmanager
def patience(seconds: float = SECONDS) -> Iterator[None]:
    """Within the block, limit how long connections without a timeout of their own wait."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
