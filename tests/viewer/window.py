"""A window like the page's: it keeps raster and cells by itself and sends its changes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from bigkingxxl.viewer.server.app import App
from bigkingxxl.viewer.server.jobs import Jobs
from bigkingxxl.viewer.server.open_workspace import open_workspace
from bigkingxxl.viewer.server.session import Session

TOKEN, PORT = "a-token-for-tests", 8123
BASE = f"http://127.0.0.1:{PORT}"
ORIGIN = {"Origin": BASE}
DTYPES: dict[str, np.dtype[Any]] = {
    "uint16": np.dtype("<u2"),
    "uint32": np.dtype("<u4"),
    "uint8": np.dtype("u1"),
}
_names = itertools.count(1)


class Server:
    """A server without a socket, for one folder."""

    def __init__(self, folder: Path, *, annotate: bool = False, model: str = "open") -> None:
        self.session = Session(open_workspace(folder, annotate=annotate))
        self.jobs = Jobs(self.session, model)
        app = App(self.session, self.jobs, TOKEN, PORT)
        self.client = TestClient(app.asgi, base_url=BASE, headers=ORIGIN, follow_redirects=False)
        self.client.cookies.set(f"bigkingxxl_{PORT}", TOKEN)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.events.close()
        self.jobs.close()
        self.session.close()
        self.client.close()

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def raster(self, path: str) -> NDArray[Any]:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        shape = int(answer.headers["X-Height"]), int(answer.headers["X-Width"])
        return np.frombuffer(answer.content, DTYPES[answer.headers["X-Dtype"]]).reshape(shape)

    @property
    def keys(self) -> dict[str, str]:
        """The key of each image by its name."""
        return {each["name"]: each["key"] for each in self.get("/api/images")["images"]}

    def wait(self, job: dict[str, Any], states: tuple[str, ...] = ("done",)) -> dict[str, Any]:
        """Wait for a job to end and return it."""
        after = 0
        for _ in range(600):
            found: dict[str, Any] = self.get(f"/api/jobs/{job['id']}")
            if found["state"] in ("done", "failed", "cancelled", "asking"):
                assert found["state"] in states, found
                return found
            after = self.get(f"/api/events?after={after}&wait=0.2")["newest"]
        raise AssertionError(found)


class Window:
    """A window with an image open."""

    def __init__(self, server: Server, key: str) -> None:
        self.server, self.key = server, key
        self.id, self.seq = f"window-{next(_names):04d}", 0
        self.undone: list[tuple[NDArray[Any], dict[int, Any]]] = []
        self.load()

    def load(self) -> None:
        """Load everything anew, like a reloaded page."""
        place = f"/api/images/{self.key}"
        self.labels = self.server.raster(f"{place}/labels").astype(np.int64)
        self.reviewed = self.server.raster(f"{place}/reviewed").astype(np.int64)
        table = self.server.get(f"{place}/cells")
        self.revision = table["revision"]
        self.cells: dict[int, Any] = dict(zip(table["ids"], table["cells"], strict=True))
        entry = self.server.get(place)["entry"]
        self.done = entry["done"]
        self.next_cell = self.server.get(place)["next_cell"]

    def edit(self, tool: str, change: Callable[[NDArray[Any], dict[int, Any]], None]) -> Any:
        """Change raster and cells, and send the differences."""
        labels, cells = self.labels.copy(), dict(self.cells)
        change(labels, cells)
        for number in set(cells) - set(np.unique(labels).tolist()):
            del cells[number]
        return self.send(tool, labels, cells)

    def send(self, tool: str, labels: NDArray[Any], cells: dict[int, Any]) -> Any:
        """Send the differences from the window's state, which then includes them."""
        changes = [
            {"id": number, "before": self.cells.get(number), "after": cells.get(number)}
            for number in sorted({*cells, *self.cells})
            if self.cells.get(number) != cells.get(number)
        ]
        answer = self.post(tool, runs=runs_between(self.labels, labels), cells=changes)
        self.labels, self.cells = labels, cells
        return answer

    def mark(self, region: NDArray[Any]) -> Any:
        """Mark a region bool[H, W] as the entire reviewed region."""
        answer = self.post("reviewed", reviewed=runs_between(self.reviewed, region))
        self.reviewed = region.astype(np.int64)
        return answer

    def post(self, tool: str, **parts: Any) -> Any:
        body = {"window": self.id, "seq": self.seq + 1, "revision": self.revision, "tool": tool}
        answer = self.server.post(f"/api/images/{self.key}/edits", {**body, **parts})
        self.seq += 1
        self.revision, self.next_cell = answer["revision"], answer["next_cell"]
        return answer

    def paint(self, box: tuple[int, int, int, int], number: int) -> Any:
        """Paint the background of a box with a cell, which may be new."""

        def change(labels: NDArray[Any], cells: dict[int, Any]) -> None:
            part = labels[box[0] : box[2], box[1] : box[3]]
            part[part == 0] = number
            cells.setdefault(number, {"origin": "drawn", "type": "", "score": None})

        return self.edit("brush", change)

    def delete(self, *numbers: int) -> Any:
        """Remove cells."""
        return self.edit("delete", lambda labels, _: labels.__setitem__(
            np.isin(labels, numbers), 0))  # fmt: skip


def runs_between(before: NDArray[Any], after: NDArray[Any]) -> list[int]:
    """Runs from one raster to another, pixel by pixel."""
    width = before.shape[1]
    found: list[list[int]] = []
    for row, col in np.argwhere(before != after).tolist():
        place, old, new = row * width + col, int(before[row, col]), int(after[row, col])
        last = found[-1] if found else [-1, 0, 0, 0]
        if col and last[0] + last[1] == place and last[2:] == [old, new]:
            last[1] += 1
        else:
            found.append([place, 1, old, new])
    return [number for run in found for number in run]


def random_change(window: Window, random: np.random.Generator) -> None:
    """One edit as a user might make it."""
    height, width = window.labels.shape
    row, col = int(random.integers(height)), int(random.integers(width))
    box = np.s_[row : row + int(random.integers(1, 7)), col : col + int(random.integers(1, 7))]
    tool = str(random.choice(["reviewed", "done", *TOOLS]))
    if tool == "reviewed":
        region = window.reviewed.copy()
        region[box] ^= 1
        window.mark(region)
    elif tool == "done":
        window.post("done", done={"before": window.done, "after": not window.done})
        window.done = not window.done
    else:
        before = window.labels, dict(window.cells)
        labels, cells = window.labels.copy(), dict(window.cells)
        TOOLS[tool](labels, cells, window.next_cell, box, random)
        cells = {number: cells[number] for number in cells if (labels == number).any()}
        if (labels != before[0]).any() or cells != before[1]:
            window.send(tool, labels, cells)
            if random.random() < 0.3:
                window.send("undo", *before)


def _any(cells: dict[int, Any], random: np.random.Generator, otherwise: int) -> int:
    return int(random.choice(sorted(cells))) if cells else otherwise


def _brush(labels: Any, cells: Any, free: int, box: Any, random: np.random.Generator) -> None:
    number = free if random.random() < 0.4 else _any(cells, random, free)
    labels[box][labels[box] == 0] = number
    cells.setdefault(number, {"origin": "drawn", "type": "a", "score": None})


def _erase(labels: Any, cells: Any, free: int, box: Any, random: np.random.Generator) -> None:
    labels[box] = 0


def _cut(labels: Any, cells: Any, free: int, box: Any, random: np.random.Generator) -> None:
    number = _any(cells, random, 0)
    half = (labels == number) & (np.arange(labels.shape[1]) < box[1].start)
    if number and half.any():
        labels[half] = free
        cells[free] = {**cells[number], "origin": "edited", "score": None}


def _merge(labels: Any, cells: Any, free: int, box: Any, random: np.random.Generator) -> None:
    if cells:
        labels[labels == _any(cells, random, 0)] = min(cells)


def _delete(labels: Any, cells: Any, free: int, box: Any, random: np.random.Generator) -> None:
    if cells:
        labels[labels == _any(cells, random, 0)] = 0


def _type(labels: Any, cells: Any, free: int, box: Any, random: np.random.Generator) -> None:
    if cells:
        number = _any(cells, random, 0)
        cells[number] = {**cells[number], "type": str(random.choice(["a", "b", ""]))}


TOOLS = {"brush": _brush, "erase": _erase, "cut": _cut, "merge": _merge, "delete": _delete,
         "type": _type}  # fmt: skip
