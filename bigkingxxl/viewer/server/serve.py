"""Run the server: a local port, the URL with the token, and the browser."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from bigkingxxl.errors import InputError
from bigkingxxl.viewer.server.app import App
from bigkingxxl.viewer.server.jobs import Jobs
from bigkingxxl.viewer.server.open_workspace import open_workspace
from bigkingxxl.viewer.server.session import Session

HOST = "127.0.0.1"
PORT = 8717  # if it is free, else any
BACKLOG = 64
SECONDS_TO_END = 3
UVICORN = "uvicorn.error"  # its logger of all that is no request


@dataclass(frozen=True)
class Running:
    """A running server.

    Attributes:
        url: The URL with the token.
        port: Its port.
        moved: Whether the usual port was in use, so that it has another one.
    """

    url: str
    port: int
    moved: bool


def bound_socket(port: int | None) -> tuple[socket.socket, bool]:
    """Return a socket on the loopback interface, and whether the usual port was in use.

    Args:
        port: None takes the usual port, or any free one.

    Raises:
        InputError: The requested port is in use or not permitted.
    """
    wanted = [port] if port is not None else [PORT, 0]
    for number in wanted:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, number))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if port is not None:
                raise InputError(
                    f"port {port} cannot be used ({(error.strerror or str(error)).lower()}): name "
                    "another one, or leave --port out",
                    key="--port",
                    found=port,
                ) from error
        else:
            return listener, number == 0 and port is None
    raise InputError("no port of this machine is free", key="--port")


def serve(
    folder: Path, *, annotate: bool = False, port: int | None = None, model: str | None = None,
    browser: bool = True, started: Callable[[Running, Session], None] | None = None,
) -> None:  # fmt: skip
    """Serve a folder until the process is stopped (Ctrl-C, SIGTERM).

    Args:
        folder: The folder.
        annotate: Whether nothing is predicted.
        port: The port; by default the usual one, or any free one.
        model: See `Jobs`.
        browser: Whether to open the URL.
        started: Called when requests are answered.

    Raises:
        InputError: The folder cannot be shown, the port is in use, or there is no such model.
    """
    if model is not None:
        from bigkingxxl.inference.ensemble_file import members_of

        members_of([model])
    workspace = open_workspace(folder, annotate=annotate)
    listener, moved = bound_socket(port)
    session = Session(workspace)
    jobs = Jobs(session, model)
    try:
        number = listener.getsockname()[1]
        token = secrets.token_urlsafe(24)
        running = Running(f"http://{HOST}:{number}/?token={token}", number, moved)
        config = uvicorn.Config(
            App(session, jobs, token, number).asgi, access_log=False, log_level="warning",
            lifespan="off", ws="none", server_header=False, date_header=False,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )  # fmt: skip
        server = _Server(config, session)
        if started is not None:
            started(running, session)
        if browser:
            _open_browser(running.url)
        threading.Thread(target=_prepare, args=(session, jobs), daemon=True).start()
        server.run(sockets=[listener])
    finally:
        logging.getLogger(UVICORN).removeFilter(_is_worth_telling)
        listener.close()
        session.events.close()
        jobs.close()
        session.close()


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Return False for requests that are cut off when the server is stopped: nothing is lost."""
    error = record.exc_info[1] if record.exc_info else None
    was_cut = isinstance(error, asyncio.CancelledError)
    return not (was_cut or "graceful shutdown exceeded" in record.getMessage())


class _Server(uvicorn.Server):
    """Ends at once: waiting requests for events are answered when it is stopped."""

    def __init__(self, config: uvicorn.Config, session: Session) -> None:
        super().__init__(config)
        self._session = session

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal to stop."""
        self._session.events.close()
        logging.getLogger(UVICORN).addFilter(_is_worth_telling)
        super().handle_exit(sig, frame)


def _prepare(session: Session, jobs: Jobs) -> None:
    session.mend()
    jobs.begin()
    session.survey()


def _open_browser(url: str) -> None:
    """Open the URL in a thread, because some programs wait until the browser ends."""

    def show() -> None:
        try:
            webbrowser.open(url)
        except (OSError, webbrowser.Error):
            return  # the URL is printed anyway

    threading.Thread(target=show, daemon=True).start()
