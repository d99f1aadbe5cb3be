"""Requests from anything but the page get nothing and change nothing, on every route."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bigkingxxl.viewer.contract import ROUTES, Route
from bigkingxxl.viewer.server.session import LARGEST_BODY
from tests.viewer.window import BASE, ORIGIN, PORT, TOKEN, Server

ROOT = Path(__file__).parents[2]
OUTSIDE = ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "....//", "/etc/passwd",
           "C:\\secret", "%00", "run.json", "x" * 5000, "__init__.py", "%2E%2E")  # fmt: skip
BAD_BODIES = (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a": 1e999}', b"[" * 100_000, b"0",
              b'{"window": 1, "seq": "x", "revision": [], "tool": null}')  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}  # fmt: skip


def filled(route: Route, key: str) -> str:
    values = {"key": key, "job": "1", "which": "before", "file": "index.html"}
    path = route.path
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def ask(server: Server, route: Route, path: str, headers: dict[str, str]) -> Any:
    request = server.client.build_request(
        route.method, path, headers={"Content-Type": "application/json", **headers},
        content=b"{}" if route.request else None,
    )  # fmt: skip
    return server.client.send(request)


@pytest.mark.parametrize("headers", [
    {"Origin": "https://example.org"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:9"},
    {"Origin": f"http://127.0.0.1.example.org:{PORT}"}, {"Origin": f"https://127.0.0.1:{PORT}"},
    {"Host": "example.org"}, {"Host": f"example.org:{PORT}"}, {"Host": "127.0.0.1@example.org"},
    {"Host": "10.0.0.1"}, {"Host": ""}, {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    {"Cookie": f"bigkingxxl_{PORT}=wrong"}, {"Cookie": f"bigkingxxl_{PORT}="}, {"Cookie": "\"="},
    {"Cookie": f"bigkingxxl_1={TOKEN}"}, {"Cookie": "", "Authorization": "Bearer wrong"},
    {"Cookie": "", "Authorization": "Bearer"}, {"Cookie": "", "Authorization": f"Basic {TOKEN}"},
], ids=str)  # fmt: skip
def test_a_stranger_is_refused_on_every_route(
    server: Server, run_folder: Path, headers: dict[str, str]
) -> None:
    before, key = snapshot(run_folder), server.keys["i00"]
    if "Cookie" in headers:
        server.client.cookies.clear()
    for route in ROUTES:
        if "Sec-Fetch-Site" in headers and route.path == "/":
            continue  # a link in a mail may lead to the page
        answer = ask(server, route, filled(route, key), {**ORIGIN, **headers})
        assert answer.status_code == 403, (route, answer.text)
        assert set(answer.json()) == {"error", "read_only"}
    assert snapshot(run_folder) == before


def test_a_change_without_origin_is_refused_but_by_a_program(server: Server) -> None:
    del server.client.headers["Origin"]
    body = {"window": "window-x", "key": None}
    assert server.client.post("/api/presence", json=body).status_code == 403
    server.client.cookies.clear()
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert server.client.post("/api/presence", json=body, headers=known).status_code == 200


def test_localhost_through_a_tunnel_is_this_machine(server: Server) -> None:
    for host in ("localhost:9000", "127.0.0.1:9000", "[::1]:9000"):
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert server.client.get("/api/folder", headers=headers).status_code == 200


@pytest.mark.parametrize("wrong", OUTSIDE)
def test_no_address_leads_out(server: Server, run_folder: Path, wrong: str) -> None:
    before = snapshot(run_folder)
    for route in ROUTES:
        if "{" not in route.path:
            continue
        first = route.path.index("{")
        path = route.path[:first] + wrong + route.path[route.path.index("}") + 1 :]
        answer = ask(server, route, filled(Route(route.method, path, "", route.request), wrong), {})
        assert 400 <= answer.status_code < 500, (route, answer.status_code)
        assert "root:" not in answer.text
    assert snapshot(run_folder) == before


def test_no_link_leads_out(server: Server, run_folder: Path, tmp_path: Path) -> None:
    """Only names of the run are known, whatever lies in its folder."""
    (tmp_path / "secret.txt").write_text("secret")
    (run_folder / "page").mkdir()
    (run_folder / "page" / "secret.txt").symlink_to(tmp_path / "secret.txt")
    for path in ("/page/secret.txt", "/run/secret.txt", "/api/images/secret.txt/pixels"):
        assert server.client.get(path).status_code == 404


@pytest.mark.parametrize("content", BAD_BODIES, ids=lambda body: str(body[:20]))
def test_an_invalid_body_is_refused(server: Server, run_folder: Path, content: bytes) -> None:
    before, key = snapshot(run_folder), server.keys["i00"]
    for route in ROUTES:
        if route.request is not None:
            answer = server.client.request(
                route.method, filled(route, key), content=content,
                headers={"Content-Type": "application/json"},
            )  # fmt: skip
            assert 400 <= answer.status_code < 500, (route, answer.text)
            assert answer.json()["error"]
    assert snapshot(run_folder) == before


def test_another_content_type_is_refused(server: Server) -> None:
    """A foreign page's form can send text, but no JSON without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = server.client.post("/api/presence", content=b'{"window": "window-x", "key": null}',
                                    headers={"Content-Type": kind})  # fmt: skip
        assert answer.status_code == 400


def test_a_huge_body_is_refused_before_it_is_read(server: Server, run_folder: Path) -> None:
    before, key = snapshot(run_folder), server.keys["i00"]
    block, sent = b" " * 2**20, itertools.count()

    def body() -> Any:
        for _ in range(3 * LARGEST_BODY // len(block)):
            next(sent)
            yield block

    for route in ROUTES:
        if route.request is not None:
            path = filled(route, key)
            answer = server.client.request(
                route.method, path, headers={"Content-Type": "application/json"},
                content=body() if route.path.endswith("edits") else b" " * (LARGEST_BODY + 1),
            )  # fmt: skip
            assert answer.status_code == 413, route
    assert snapshot(run_folder) == before


@pytest.mark.parametrize("query", [
    "level=99", "level=-1", "level=x", "row=0", "row=0&col=99", "row=-1&col=0", "level=0&level=1",
    "what=1", "min_score=2", "min_score=nan", "min_area=-1", "min_area=1e999", "level=1e3",
    "level=" + "9" * 400, "channel=7", "channel=-1", "channel=rgb", "channel=../x", "low=nan",
    "measurements=x", "after=x", "wait=x", "wait=inf",
])  # fmt: skip
def test_an_invalid_query_is_refused(server: Server, query: str) -> None:
    key = server.keys["i00"]
    names = {part.partition("=")[0] for part in query.split("&")}
    for route in ROUTES:
        if route.method == "GET" and (names & {*route.query} or "what" in names):
            answer = server.client.get(f"{filled(route, key)}?{query}")
            assert 400 <= answer.status_code < 500, (route, answer.text[:200])


def test_every_answer_forbids_the_rest_of_the_internet(server: Server) -> None:
    for path in ("/", "/api/folder", "/nothing", f"/api/images/{server.keys['i00']}/pixels"):
        headers = server.client.get(path).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_the_server_starts_without_heavy_imports() -> None:
    program = (
        "import sys, bigkingxxl.viewer.server.serve\n"
        "heavy = {'torch', 'onnxruntime', 'skimage', 'scipy', 'matplotlib', 'tifffile'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout.replace("'", '"')) == []
    assert BASE.startswith("http://127.0.0.1")
