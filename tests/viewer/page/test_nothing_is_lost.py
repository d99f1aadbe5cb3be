"""Drawn cells survive a reload, a killed server, a second window and a random walk."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.viewer.page.browser import Viewer, Window, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

WALK = 30
LONG_WALK = 2000


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context(viewport={"width": 1280, "height": 800})
    yield found
    found.close()


@pytest.fixture
def own(folder: Path, browser: Browser) -> Iterator[Viewer]:
    """A separate server, which may be killed and restarted on its port."""
    found = Viewer(folder)
    yield found
    found.stop()


def empty_place(labels: NDArray[Any], side: int = 20) -> tuple[float, float]:
    for row, col in itertools.product(range(0, labels.shape[0] - side, 4), range(0, 250, 4)):
        if not labels[row : row + side, col : col + side].any():
            return row + side / 2, col + side / 2
    raise AssertionError("no background")


def draw(window: Window, row: float, col: float) -> None:
    window.press("b")
    window.drag((row, col - 4), (row, col + 4))


def replayed(viewer: Viewer, key: str, start: NDArray[Any]) -> NDArray[Any]:
    """The labels that the journal gives, painted run by run."""
    labels = start.copy().ravel()
    for each in viewer.json(f"/api/images/{key}/edits?after=0")["edits"]:
        for place, length, old, new in np.array(each["edit"]["runs"], int).reshape(-1, 4):
            assert (labels[place : place + length] == old).all()
            labels[place : place + length] = new
    return labels.reshape(start.shape)


def test_a_reload_keeps_cells_image_and_undo(context: BrowserContext, own: Viewer) -> None:
    window = Window(context, own)
    other = next(each for each in own.images() if each != window.key)
    window.show(other)
    before = window.labels()
    draw(window, *empty_place(before))
    after = window.labels()
    assert (after != before).any()
    window.reload()
    assert window.key == other
    assert (window.labels() == after).all()
    window.press("Control+z")
    assert (window.labels() == before).all()
    window.press("Control+y")
    assert (window.labels() == after).all()
    assert window.problems == []


def test_strokes_during_a_server_outage_are_saved_later(
    context: BrowserContext, own: Viewer
) -> None:
    """SIGKILL during work: the page says that nothing is saved, and a reload loses nothing."""
    window = Window(context, own)
    before = window.labels()
    row, col = empty_place(before)
    draw(window, row, col)
    first = window.labels()
    own.kill()
    window.press("Delete")
    draw(window, row, col)
    draw(window, row + 7, col)
    window.page.wait_for_selector(".saving[data-state=failing]", timeout=60_000)
    own.start()
    # The new server has a new key: the old page is told so, and the new address keeps everything.
    window.page.once("dialog", lambda dialog: dialog.accept())
    window.open(window.key)
    window.wait_saved()
    after = window.labels()
    assert after[int(row), int(col)] not in (0, first[int(row), int(col)])
    assert (replayed(own, window.key, before) == after).all()
    tools = [each["edit"]["tool"] for each in
             own.json(f"/api/images/{window.key}/edits?after=0")["edits"]]  # fmt: skip
    assert tools == ["brush", "delete", "brush", "brush"]
    assert window.problems == []


def test_a_second_window_follows_and_both_edits_are_kept(
    context: BrowserContext, own: Viewer
) -> None:
    one, two = Window(context, own), Window(context, own)
    assert one.key == two.key
    for window in (one, two):
        until(lambda window=window: window.windows == 2)
    before = one.labels()
    row, col = empty_place(before)
    one.page.bring_to_front()
    draw(one, row, col)
    seen = one.labels()
    until(lambda: "other-window" in two.messages)
    two.page.bring_to_front()
    two.press("Control+z")  # one history for both
    until(lambda: np.array_equal(own.raster(one.key), before))
    two.press("Control+y")
    until(lambda: np.array_equal(own.raster(one.key), seen))
    two.page.close()
    until(lambda: one.windows == 1, 15)


def test_concurrent_edits_of_two_windows_are_merged(
    browser: Browser, context: BrowserContext, own: Viewer
) -> None:
    """The second window does not hear of the first: its edit is rebased onto the new state."""
    deaf = browser.new_context(viewport={"width": 1280, "height": 800})
    deaf.route(re.compile(r"/api/events\?after=\d"), lambda route: route.abort())
    deaf.route("**/api/presence", lambda route: route.abort())
    one, two = Window(context, own), Window(deaf, own)
    before = one.labels()
    row, col = empty_place(before, 28)
    one.page.bring_to_front()
    draw(one, row - 6, col)
    one.labels()
    two.page.bring_to_front()
    draw(two, row + 6, col)
    until(lambda: "merged" in two.messages)
    after = two.labels()
    first, second = int(after[int(row - 6), int(col)]), int(after[int(row + 6), int(col)])
    assert 0 not in (first, second)
    assert first != second
    assert (replayed(own, one.key, before) == after).all()
    deaf.close()


def random_step(window: Window, random: np.random.Generator, size: tuple[int, int]) -> None:
    """A random next action of a user."""

    def place() -> tuple[float, float]:
        return float(random.uniform(0, size[0])), float(random.uniform(0, size[1]))

    def near(from_: tuple[float, float], far: float) -> tuple[float, float]:
        return from_[0] + random.uniform(-far, far), from_[1] + random.uniform(-far, far)

    tool = str(random.choice(["b", "b", "e", "l", "l", "c", "c", "n", "r", "v", "u"]))
    start = place()
    if tool == "u":
        for _ in range(int(random.integers(1, 4))):
            window.press(str(random.choice(["Control+z", "Control+z", "Control+y"])))
        return
    window.press(tool)
    keys = [str(random.choice(["Shift", "Alt", "Control"]))] if random.random() < 0.2 else []
    points = [start, near(start, 20), near(start, 20), near(start, 20)]
    window.drag(*(points[:1] if tool == "n" else points), keys=keys)
    if tool == "v":
        window.press(str(random.choice(["m", "g", "Shift+G", "f", "Delete", "1", "2", "0"])))
    if random.random() < 0.3:
        window.press("Escape")


def walk(window: Window, own: Viewer, steps: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    before = window.labels()
    for _ in range(steps):
        random_step(window, random, (before.shape[0], before.shape[1]))
    after, cells = window.labels(), window.cells()
    edits = own.json(f"/api/images/{window.key}/edits?after=0")["edits"]
    assert len(edits) > steps / 3
    assert (replayed(own, window.key, before) == after).all()
    assert set(cells) == set(np.unique(after)) - {0}
    window.reload()
    assert (window.labels() == after).all()
    assert "not-merged" not in window.messages
    undoable = min(len(edits), 200)
    window.press(*["Control+z"] * undoable, *["Control+y"] * undoable)
    assert (window.labels() == after).all() or undoable < len(edits)
    assert (replayed(own, window.key, before) == window.labels()).all()
    assert window.problems == []


def test_a_random_walk_is_replayed_from_the_journal(context: BrowserContext, own: Viewer) -> None:
    walk(Window(context, own), own, WALK, seed=3)


@pytest.mark.long
def test_a_long_random_walk(context: BrowserContext, own: Viewer) -> None:
    walk(Window(context, own), own, LONG_WALK, seed=4)


def test_the_prediction_is_never_touched(context: BrowserContext, own: Viewer) -> None:
    def predicted() -> dict[str, bytes]:
        files = [each for each in own.folder.rglob("*") if each.is_file()]
        return {str(each): each.read_bytes() for each in files
                if "corrections" not in each.relative_to(own.folder).parts}  # fmt: skip

    window = Window(context, own)
    before = predicted()
    draw(window, *empty_place(window.labels()))
    window.press("Shift+Enter")
    window.labels()
    assert predicted() == before
    assert own.table(window.key)[max(own.table(window.key))]["origin"] == "drawn"


def test_the_page_shows_at_once_what_is_reviewed_and_where(
    context: BrowserContext, own: Viewer
) -> None:
    window = Window(context, own)
    paths = window.page.locator(".paths")
    name = window.page.locator(".image-name").inner_text()
    window.page.click("#tab-export")
    assert window.reviewed == 0
    assert str(own.folder / "labels" / f"{name}.tif") in paths.inner_text()
    window.focus()
    window.press("Shift+Enter")
    until(lambda: window.reviewed == 1)
    corrected = own.folder / "corrections" / "labels" / f"{name}.tif"
    until(lambda: str(corrected) in paths.inner_text())
    assert str(own.folder / "labels" / f"{name}.tif") not in paths.inner_text()
    until(corrected.is_file)
    window.press("Control+z")
    until(lambda: window.reviewed == 0)
    assert window.problems == []


def test_a_second_view_offers_no_tools_until_the_first_has_ended(
    context: BrowserContext, own: Viewer
) -> None:
    first = Window(context, own)
    draw(first, *empty_place(first.labels()))
    second = Viewer(own.folder)
    try:
        window = Window(context, second)
        tools = {key: window.page.locator(f".tool[aria-keyshortcuts={key}]")
                 for key in ("V", "B", "C")}  # fmt: skip
        assert [key for key, each in tools.items() if each.is_enabled()] == ["V"]
        window.press("b")
        assert tools["V"].get_attribute("aria-pressed") == "true"
        own.stop()
        window.reload()
        window.press("b")
        assert tools["B"].get_attribute("aria-pressed") == "true"
        assert window.problems == []
    finally:
        second.stop()
