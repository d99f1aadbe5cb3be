"""A real Chromium and a real server: the actions of a user, and the files on disk afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).parents[3]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
# No requests of Chromium to the internet; the rest is for containers without a sandbox or a GPU.
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic",
)  # fmt: skip
SECONDS = 60  # generous, because test machines are busy with other work as well
DTYPES = {"uint8": "<u1", "uint16": "<u2", "uint32": "<u4"}


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Viewer:
    """`bigkingxxl view` in a process of its own."""

    def __init__(self, folder: Path, *, port: int | None = None, command: str = "view") -> None:
        self.folder, self.command = folder, command
        self.port = port or free_port()
        self.start()

    def start(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bigkingxxl", self.command, str(self.folder), "--no-browser",
             "--port", str(self.port)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the server did not start"
        self.token = self.url.partition("token=")[2]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        self._close()

    def kill(self) -> None:
        """Kill the process, like a power cut."""
        self.process.kill()
        self.process.wait(SECONDS)
        self._close()

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()

    # ---- what is on the server ------------------------------------------------------------------

    def ask(self, path: str) -> tuple[bytes, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            headers={"Authorization": f"Bearer {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.read(), answer.headers

    def json(self, path: str) -> Any:
        return json.loads(self.ask(path)[0])

    def raster(self, key: str, what: str = "labels") -> NDArray[Any]:
        content, headers = self.ask(f"/api/images/{key}/{what}")
        if headers.get("Content-Encoding") == "gzip":
            import gzip

            content = gzip.decompress(content)
        values = np.frombuffer(content, DTYPES[headers["X-Dtype"]])
        return values.reshape(int(headers["X-Height"]), int(headers["X-Width"])).astype(np.int64)

    def table(self, key: str) -> dict[int, Any]:
        found = self.json(f"/api/images/{key}/cells")
        return dict(zip(found["ids"], found["cells"], strict=True))

    def images(self) -> list[str]:
        """The keys of the images."""
        return [str(each["key"]) for each in self.json("/api/images")["images"]]


class Window:
    """A browser window with the page in it."""

    def __init__(self, context: BrowserContext, viewer: Viewer) -> None:
        self.viewer = viewer
        self.page: Page = context.new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfinished", self._no_foreign_address)
        self.open()

    def _no_foreign_address(self, request: Any) -> None:
        if not request.url.startswith((f"http://127.0.0.1:{self.viewer.port}/", "blob:", "data:")):
            self.problems.append(f"asked for {request.url}")

    def open(self, key: str = "") -> None:
        self.page.goto(f"{self.viewer.url}#{key}")
        self.wait_for_image()

    def reload(self) -> None:
        self.page.reload()
        self.wait_for_image()

    def wait_for_image(self, key: str = "") -> None:
        wanted = f'[data-image="{key}"]' if key else "[data-image]"
        self.page.wait_for_selector(f"canvas.image{wanted}", timeout=1000 * SECONDS)

    def show(self, key: str) -> None:
        """Open an image by its position in the strip."""
        self.page.click(f"#image-{key}")
        self.wait_for_image(key)

    @property
    def key(self) -> str:
        return str(self._canvas.get_attribute("data-image"))

    @property
    def _canvas(self) -> Any:
        return self.page.locator("canvas.image")

    # ---- mouse ----------------------------------------------------------------------------------

    def place(self, row: float, col: float) -> tuple[float, float]:
        """Return where a point of the image is in the window; the middle of a pixel is at .5."""
        # The last action may still be being drawn.
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => done()))")
        box = self._canvas.bounding_box()
        data = self._canvas.evaluate("canvas => ({...canvas.dataset})")
        zoom = float(data["zoom"])
        return (
            box["x"] + (col - float(data["col"])) * zoom,
            box["y"] + (row - float(data["row"])) * zoom,
        )

    def drag(self, *points: tuple[float, float], keys: Sequence[str] = ()) -> None:
        """Press at the first point, move along the others, release at the last."""
        mouse, keyboard = self.page.mouse, self.page.keyboard
        for key in keys:
            keyboard.down(key)
        mouse.move(*self.place(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.place(*point), steps=3)
        mouse.up()
        for key in keys:
            keyboard.up(key)

    def click(self, row: float, col: float, keys: Sequence[str] = ()) -> None:
        self.drag((row, col), keys=keys)

    # ---- keyboard -------------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focus(self) -> None:
        self._canvas.focus()

    def trace(self, *points: tuple[int, int], keys: Sequence[str] = ()) -> None:
        """Draw with the keyboard's crosshair: Space presses and releases, arrows move."""
        self.focus()
        self.press("k")
        here = self._crosshair()
        for index, point in enumerate(points):
            self._walk(here, point)
            here = point
            if index == 0:
                self._with(keys, "Space")
        if len(points) > 1 or self._is_pressed():
            self._with(keys, "Space")
        self.press("k")

    def _is_pressed(self) -> bool:
        return self.tool != "add"

    def _with(self, keys: Sequence[str], key: str) -> None:
        self.press("+".join([*keys, key]))

    def _crosshair(self) -> tuple[int, int]:
        text = self.page.locator(".status .place").inner_text()
        row, col = re.findall(r"-?\d+", text)
        return int(row), int(col)

    def _walk(self, here: tuple[int, int], there: tuple[int, int]) -> None:
        for name, distance in (("Down", there[0] - here[0]), ("Right", there[1] - here[1])):
            opposite = {"Down": "Up", "Right": "Left"}[name]
            arrow = f"Arrow{name if distance > 0 else opposite}"
            tens, ones = divmod(abs(distance), 10)
            self.press(*[f"Control+{arrow}"] * tens, *[arrow] * ones)

    @property
    def tool(self) -> str:
        classes = str(self._canvas.get_attribute("class")).split()
        return next(each for each in classes if each not in ("image", "panning"))

    # ---- what the page says ---------------------------------------------------------------------

    def wait_saved(self) -> None:
        """Wait until the page says that everything is on disk."""
        self.page.wait_for_function(
            "() => document.querySelector('.saving')?.dataset.state === 'saved'",
            timeout=1000 * SECONDS,
        )

    @property
    def messages(self) -> list[str]:
        """Return the topic of each message that is shown; "" if it has none."""
        found = self.page.locator(".messages .message").all()
        return [str(each.get_attribute("data-about")) for each in found]

    @property
    def windows(self) -> int:
        """Return the number of windows that show this image, as the page knows it."""
        return int(str(self.page.locator(".saving").get_attribute("data-windows")))

    @property
    def reviewed(self) -> float:
        """Return the share of the image that the page shows as reviewed."""
        return float(str(self.page.locator(".top [data-reviewed]").get_attribute("data-reviewed")))

    @property
    def selected(self) -> str:
        """Return 'Cell 3', '2 cells', or ''."""
        count = self.page.locator(".chosen .count")
        return str(count.inner_text()) if count.count() else ""

    def labels(self) -> NDArray[Any]:
        """Return the state of the server once everything is saved."""
        self.wait_saved()
        return self.viewer.raster(self.key)

    def cells(self) -> dict[int, Any]:
        self.wait_saved()
        return self.viewer.table(self.key)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a screen."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def until(condition: Any, seconds: float = SECONDS) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
