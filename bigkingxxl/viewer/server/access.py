"""Who may ask: this machine's browser with the token, from our own page, in reasonable size.

A page of the internet that a browser on this machine shows could otherwise send requests here, or
have its own name point here (DNS rebinding) and read the answers.
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
COOKIE_PATH = "/"
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
    """A request's body is larger than is taken."""


class Guard:
    """Refuses every request that is not from the page, and marks answers as the page's own.

    Args:
        token: that the printed address holds; port: of the server, which names the cookie.
        largest: bytes of a request's body.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, largest: int) -> None:
        self.app, self._token, self.largest = app, token, largest
        self.cookie = f"bigkingxxl_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may be answered."""
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
        """The status and sentence of a refusal, None where there is none."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or _name(host) not in LOOPBACK:
            return 403, "this server answers to 127.0.0.1 and localhost alone"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            return 403, "this server answers to its own page alone"
        site = headers.get("sec-fetch-site", "none")
        is_entry = scope["path"] == "/" and scope["method"] == "GET"
        if site not in ("same-origin", "none") and not is_entry:
            return 403, "this server answers to its own page alone"
        if not self.is_known(headers, scope):
            return 403, (
                "open the address that `bigkingxxl view` printed: it holds the key to this page"
            )
        is_safe = scope["method"] in SAFE_METHODS
        if not is_safe and origin is None and "authorization" not in headers:
            return 403, "a change needs the header Origin"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.largest:
            return 413, f"the request is larger than {self.largest:,} bytes"
        return None

    def is_known(self, headers: Headers, scope: Scope) -> bool:
        """Whether a request shows the token: as a cookie, a header, or at the entry its address."""
        shown = [self._of_cookie(headers)]
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            shown.append(value.strip())
        if scope["path"] == "/":
            query = parse_qs(scope["query_string"].decode("latin-1"))
            shown += query.get("token", [])
        token = self._token.encode()
        # All are compared, in a time that does not tell how many letters are right.
        equal = [hmac.compare_digest(each.encode("utf-8", "replace"), token) for each in shown]
        return any(equal)

    def _of_cookie(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value


class _Limited:
    """A request's body, up to a size."""

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
    """The name in a Host header, without port and brackets; "" for nonsense."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return ""
    return (parts.hostname or "").lower()
