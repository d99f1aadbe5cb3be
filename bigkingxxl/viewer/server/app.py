"""The routes of the contract, and the answers to errors."""

from __future__ import annotations

import errno
import gzip
import json
import logging
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bigkingxxl.errors import BigKingXXLError, ImageError, InputError, OutputError
from bigkingxxl.viewer import contract as wire
from bigkingxxl.viewer.server.access import Guard, TooLargeError
from bigkingxxl.viewer.server.document import StaleError, UnfitError
from bigkingxxl.viewer.server.folder_claim import ReadOnlyError
from bigkingxxl.viewer.server.jobs import Jobs, UnknownJobError
from bigkingxxl.viewer.server.pixels import BadTileError
from bigkingxxl.viewer.server.session import LARGEST_BODY, Raster, Session, UnknownImageError

log = logging.getLogger(__name__)

T = TypeVar("T")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
JSON = "application/json"
COMPRESS_FROM = 2000  # bytes
CACHED = "private, max-age=600"  # pictures of the images, which the viewer never changes
MEDIA = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png",
    ".json": JSON, ".map": JSON, ".woff2": "font/woff2", ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
}  # fmt: skip
UNBUILT = (
    "<!doctype html><title>BigKingXXL</title><p>The page is not built. In a copy of the "
    "repository, run <code>npm ci &amp;&amp; npm run build</code> in "
    "<code>bigkingxxl/viewer/page</code>."
)
_NUMBER: TypeAdapter[int] = TypeAdapter(int)
_FLOAT: TypeAdapter[float] = TypeAdapter(float)


class BadQueryError(ValueError):
    """A part of the URL is invalid."""


class Query:
    """The query of a request: each value once, with its type."""

    def __init__(self, request: Request, allowed: tuple[str, ...]) -> None:
        self._values: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name not in allowed or name in self._values:
                raise BadQueryError(
                    f"the address contains '{name}', which is unknown or given twice"
                )
            self._values[name] = value

    def text(self, name: str, default: str) -> str:
        """Return a text."""
        return self._values.get(name, default)

    def whole(self, name: str, default: T) -> int | T:
        """Return an integer."""
        found: int | T = self._parsed(name, default, _NUMBER)
        return found

    def number(self, name: str, default: T) -> float | T:
        """Return a finite number."""
        value: float | T = self._parsed(name, default, _FLOAT)
        if isinstance(value, float) and not abs(value) < 1e300:
            raise BadQueryError(f"'{name}' is not a finite number")
        return value

    def _parsed(self, name: str, default: Any, kind: TypeAdapter[Any]) -> Any:
        if name not in self._values:
            return default
        try:
            return kind.validate_strings(self._values[name])
        except ValidationError as error:
            raise BadQueryError(f"'{name}' is not a number") from error

    def settings(self) -> wire.Settings | None:
        """Return the slider values; None if neither is given."""
        given = {name: self.number(name, None) for name in wire.SLIDERS if name in self._values}
        return wire.Settings.model_validate(given) if given else None

    def place(self) -> tuple[int, int | None, int | None]:
        """Return level, row and column of a tile."""
        return self.whole("level", 0), self.whole("row", None), self.whole("col", None)


Handler = Callable[[Mapping[str, str], Query, Any], Any]


class App:
    """Answers the routes of the contract.

    Args:
        session: The session of the folder.
        jobs: The background jobs.
        token: The token that opens the page.
        port: The port of the server.
    """

    def __init__(self, session: Session, jobs: Jobs, token: str, port: int) -> None:
        self.session, self.jobs = session, jobs
        self._token, self._cookie = token, f"bigkingxxl_{port}"
        handlers = self._handlers()
        routes = [
            Route(route.path, self._endpoint(route, handlers[route.method, route.path]),
                  methods=[route.method])
            for route in wire.ROUTES
        ]  # fmt: skip
        inner = Starlette(routes=routes, exception_handlers={404: _missing, 405: _missing})
        inner.router.redirect_slashes = False
        self.asgi = Guard(inner, token, port, LARGEST_BODY)

    def _handlers(self) -> dict[tuple[str, str], Handler]:
        session, jobs = self.session, self.jobs
        image = "/api/images/{key}"
        return {
            ("GET", "/"): lambda _, query, __: self._entry(query),
            ("GET", "/page/{file}"): lambda path, _, __: page_file(path["file"]),
            ("GET", "/api/folder"): lambda *_: jobs.told(session.folder()),
            ("GET", "/api/images"): lambda *_: session.strip(),
            ("GET", "/api/next"): lambda _, query, __: session.next(query.text("but", "")),
            ("GET", image): lambda path, *_: session.info(path["key"]),
            ("GET", f"{image}/thumbnail"): lambda path, *_: _png(session.thumbnail(path["key"])),
            ("GET", f"{image}/pixels"): self._pixels,
            ("GET", f"{image}/labels"): lambda path, query, _: _raster(
                session.labels(path["key"], query.settings(), *query.place())
            ),
            ("GET", f"{image}/reviewed"): lambda path, query, _: _raster(
                session.reviewed(path["key"], *query.place())
            ),
            ("GET", f"{image}/cells"): lambda path, query, _: session.cells(
                path["key"], query.settings(), query.whole("measurements", 0) == 1
            ),
            ("GET", f"{image}/candidates"): lambda path, *_: session.candidates(path["key"]),
            ("GET", f"{image}/edits"): lambda path, query, _: session.edits(
                path["key"], query.whole("after", 0)
            ),
            ("POST", f"{image}/edits"): self._edit,
            ("POST", f"{image}/urgent"): lambda path, *_: jobs.urgent(path["key"]),
            ("POST", "/api/presence"): lambda _, __, body: session.present(body),
            ("PUT", "/api/settings"): lambda _, __, body: jobs.apply(body),
            ("GET", "/api/jobs"): lambda *_: jobs.all(),
            ("POST", "/api/jobs/learn"): lambda _, __, body: jobs.learn(body),
            ("POST", "/api/jobs/export"): lambda _, __, body: jobs.export(body),
            ("GET", "/api/jobs/{job}"): lambda path, *_: jobs.get(path["job"]),
            ("POST", "/api/jobs/{job}/cancel"): lambda path, *_: jobs.cancel(path["job"]),
            ("POST", "/api/jobs/{job}/resume"): lambda path, *_: jobs.resume(path["job"]),
            ("POST", "/api/jobs/{job}/accept"): lambda path, *_: jobs.accept(path["job"]),
            ("POST", "/api/jobs/{job}/reject"): lambda path, *_: jobs.reject(path["job"]),
            ("GET", "/api/jobs/{job}/{which}/{key}/labels"): lambda path, query, _: _raster(
                jobs.compared(path["job"], path["which"], path["key"], *query.place())
            ),
            ("GET", "/api/jobs/{job}/archive"): lambda path, *_: Response(
                jobs.archive(path["job"]), media_type="application/zip",
                headers={"Content-Disposition": 'attachment; filename="export.zip"'},
            ),
            ("GET", "/api/events"): lambda _, query, __: session.events.after(
                query.whole("after", 0), query.number("wait", 20.0)
            ),
        }  # fmt: skip

    def _endpoint(self, route: wire.Route, handler: Handler) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                query = Query(request, route.query)
                body = None
                if route.request is not None:
                    body = _parsed(request, await request.body(), route.request)
                return await run_in_threadpool(_answered, handler, request, query, body)
            except ClientDisconnect:
                raise
            except Exception as error:
                return self._refused(request, error)

        return endpoint

    def _edit(self, path: Mapping[str, str], _: Query, edit: wire.Edit) -> Any:
        try:
            return self.session.edit(path["key"], edit)
        except StaleError as error:
            return _json(self.session.conflict(path["key"], str(error)), 409)

    def _pixels(self, path: Mapping[str, str], query: Query, _: Any) -> Response:
        shown = self.session.pictures.opened(self.session.image(path["key"]))
        level, row, col = query.place()
        return _png(shown.picture(
            level=level, row=row, col=col, channel=query.text("channel", "0"),
            low=query.number("low", None), high=query.number("high", None),
        ))  # fmt: skip

    def _entry(self, query: Query) -> Response:
        """Return the page; with the token in the URL, set a cookie and redirect."""
        if query.text("token", ""):
            response = RedirectResponse("/", status_code=303)
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return response
        return page_file("index.html")

    def _refused(self, request: Request, error: Exception) -> Response:
        status, read_only = _status_of(error)
        if status >= 500 and status != 507 and not read_only:
            log.warning("%s %s: %s", request.method, request.url.path, error, exc_info=(
                None if isinstance(error, BigKingXXLError) else error))  # fmt: skip
        sentence = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, BigKingXXLError) and status == 500:
            sentence = f"an unexpected error, {type(error).__name__}: {sentence}"
        return _json(wire.Problem(error=sentence, read_only=read_only), status)


def _status_of(error: Exception) -> tuple[int, bool]:
    """Return the status of an error, and whether it means that the folder cannot be written."""
    if isinstance(error, ReadOnlyError):
        return 503, True
    if isinstance(error, OutputError):
        cause = error.__cause__
        is_full = isinstance(cause, OSError) and cause.errno in FULL
        return (507, False) if is_full else (503, True)
    if isinstance(error, UnknownImageError | UnknownJobError | FileNotFoundError):
        return 404, False
    if isinstance(error, BadTileError | BadQueryError):
        return 400, False
    if isinstance(error, TooLargeError):
        return 413, False
    if isinstance(error, StaleError):
        return 409, False
    if isinstance(error, ImageError):
        return 410, False
    if isinstance(error, UnfitError | ValidationError | InputError):
        return 422, False
    return 500, False


def _parsed(request: Request, content: bytes, kind: type[wire.Wire]) -> wire.Wire:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise BadQueryError(f"the request's content is not {JSON}")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        raise UnfitError(f"{where}: {first['msg']}") from error


def _answered(handler: Handler, request: Request, query: Query, body: Any) -> Response:
    result = handler(request.path_params, query, body)
    if isinstance(result, Response):
        return result
    return _packed(request, _json(result))


def _json(value: wire.Wire, status: int = 200) -> Response:
    try:
        content = value.model_dump_json()
    except PydanticSerializationError:  # a file name may contain any bytes, which JSON can escape
        content = json.dumps(value.model_dump())
    return Response(content, status, media_type=JSON)


def _packed(request: Request, response: Response) -> Response:
    if len(response.body) > COMPRESS_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        response.body = gzip.compress(bytes(response.body), 1)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = str(len(response.body))
    return response


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers={"Cache-Control": CACHED})


def _raster(raster: Raster) -> Response:
    values = raster.values
    little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
    return Response(
        gzip.compress(little.tobytes(), 1), media_type=wire.RASTER,
        headers={
            "Content-Encoding": "gzip", "X-Dtype": values.dtype.name,
            "X-Height": str(values.shape[0]), "X-Width": str(values.shape[1]),
            "X-Revision": str(raster.revision),
        },
    )  # fmt: skip


def page_file(name: str) -> Response:
    """Return a file of the built page.

    Raises:
        FileNotFoundError: There is no such file.
    """
    folder = resources.files("bigkingxxl.viewer") / "page" / "dist"
    known = {each.name: each for each in folder.iterdir()} if folder.is_dir() else {}
    ending = f".{name.rpartition('.')[2]}"
    if name in known and known[name].is_file() and ending in MEDIA:
        return Response(known[name].read_bytes(), media_type=MEDIA[ending],
                        headers={"Cache-Control": "private, no-cache"})  # fmt: skip
    if name == "index.html":
        return Response(UNBUILT, media_type=MEDIA[".html"])
    raise FileNotFoundError("the page has no such file")


async def _missing(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    sentence = (
        "there is nothing at this address"
        if status == 404
        else "this address does not support this method"
    )
    return _json(wire.Problem(error=sentence), status)
