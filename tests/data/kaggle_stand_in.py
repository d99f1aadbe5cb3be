"""A local server that answers like Kaggle, and misbehaves on request."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMPETITION = "/v1/competitions.CompetitionApiService/DownloadDataFiles"
COCO = "/v1/datasets.DatasetApiService/DownloadDataset"


@dataclass
class StandIn:
    """What is served, how it fails, and which requests came.

    Attributes:
        files: The archives by API path.
        status: If set, every API call is answered with this status.
        authorisations: Accepted Authorization headers; None accepts any.
        breaks: The number of bytes after which each of the next transfers is cut off.
        md5: The checksum sent; the true one by default.
        ranges: The Range header of every transfer ('' if it had none).
    """

    files: dict[str, bytes]
    status: int = 200
    authorisations: tuple[str, ...] | None = None
    breaks: list[int] = field(default_factory=list)
    md5: str = ""
    ranges: list[str] = field(default_factory=list)
    calls: int = 0
    url: str = ""

    def etag(self, content: bytes) -> str:
        return f'"{hashlib.md5(content).hexdigest()}"'


@contextmanager
def serving(stand_in: StandIn) -> Iterator[StandIn]:
    """Serve until the block ends; `url` is the server's address."""

    class Handler(_Handler):
        plan = stand_in

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    plan: StandIn

    def do_POST(self) -> None:
        """Answer an API call: refuse it, or redirect to the file."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        plan = self.plan
        plan.calls += 1
        known = plan.authorisations
        status = plan.status
        if known is not None and self.headers.get("Authorization") not in known:
            status = 401
        if status != 200:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(302)
        self.send_header("Location", f"{plan.url}/file{self.path}?signature=1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Send a file from the requested offset, possibly cut off on the way."""
        plan = self.plan
        content = plan.files[self.path.removeprefix("/file").partition("?")[0]]
        asked = self.headers.get("Range", "")
        plan.ranges.append(asked)
        same = self.headers.get("If-Range") in (None, plan.etag(content))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and same else 0
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", plan.etag(content))
        self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={plan.md5 or md5}")
        self.end_headers()
        # A redirected request with a range leaves the first answer unread.
        cut = plan.breaks.pop(0) if plan.breaks else len(body)
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body[:cut])
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Log nothing."""
