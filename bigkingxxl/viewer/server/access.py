"""Access control: only this machine's browser with the token, from our own page, is answered.

Otherwise a web page in a browser on this machine could send requests here, or point its own name at
this machine (DNS rebinding) and read the answers.
"""

from __future__ import annotations

import hmac
import json
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
SAFE_METHODS = frozenset(("GET", "HEAD"))
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class TooLargeError(Exception):
    """The body of a request is larger than permitted."""


class Guard:
    """Refuses requests that do not come from the page, and adds security headers to answers.

    Args:
        app: The application.
        token: The token in the printed URL.
        port: The port of the server, which is part of the cookie's name.
        largest: The largest body of a request in bytes.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, largest: int) -> None:
        self.app, self._token, self.largest = app, token, largest
        self.cookie = f"bigkingxxl_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on permitted requests."""
        if scope["type"] != "http":  # no lifespan, no web sockets
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        reason = self._reason(scope)
        if reason is not None:
            await _refuse(send, *reason)
            return
        await self.app(scope, _Limited(receive, self.largest), _marked(send))

    def _reason(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and message of a refusal, or None."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or _name(host) not in LOOPBACK:
            return 403, "this server only answers requests to 127.0.0.1 and localhost"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            return 403, "this server only answers requests from its own page"
        site = headers.get("sec-fetch-site", "none")
        is_entry = scope["path"] == "/" and scope["method"] == "GET"
        if site not in ("same-origin", "none") and not is_entry:
            return 403, "this server only answers requests from its own page"
        if not self.is_known(headers, scope):
            return 403, (
                "open the address that `bigkingxxl view` printed: it contains the access key of "
                "this page"
            )
        is_safe = scope["method"] in SAFE_METHODS
        if not is_safe and origin is None and "authorization" not in headers:
            return 403, "a change needs the header Origin"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.largest:
            return 413, f"the request is larger than {self.largest:,} bytes"
        return None

    def is_known(self, headers: Headers, scope: Scope) -> bool:
        """Return whether a request has the token: in a cookie, a header, or the entry URL."""
        shown = [self._of_cookie(headers)]
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            shown.append(value.strip())
        if scope["path"] == "/":
            query = parse_qs(scope["query_string"].decode("latin-1"))
            shown += query.get("token", [])
        token = self._token.encode()
        # All are compared, in constant time.
        equal = [hmac.compare_digest(each.encode("utf-8", "replace"), token) for each in shown]
        return any(equal)

    def _of_cookie(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value


class _Limited:
    """The body of a request, up to a size."""

    def __init__(self, receive: Receive, largest: int) -> None:
        self._receive, self._largest, self._left = receive, largest, largest

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLargeError(f"the request is larger than {self._largest:,} bytes")
        return message


def _marked(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return marked


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence, "read_only": False}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)),
               "Cache-Control": "no-store", **HEADERS}  # fmt: skip
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _name(host: str) -> str:
    """Return the name in a Host header, without port and brackets; "" if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return ""
    return (parts.hostname or "").lower()
