"""Every tool by mouse and by keyboard, undone and redone to the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.viewer.page.browser import Viewer, Window

Labels = NDArray[Any]


@pytest.fixture(scope="module")
def shared(browser: Any, viewer: Viewer) -> Iterator[Window]:
    """One window for all: every test leaves the image as it was."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    found = Window(context, viewer)
    yield found
    context.close()
    assert found.problems == []


class Field:
    """The image before the test, and points in it."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.before, self.cells = window.labels(), window.cells()
        counts = np.bincount(self.before.ravel())
        counts[0] = 0
        self.largest = int(counts.argmax())

    def inside(self, number: int) -> tuple[int, int]:
        """A pixel in the middle of a cell."""
        rows, cols = np.nonzero(self.before == number)
        middle = np.argmin((rows - rows.mean()) ** 2 + (cols - cols.mean()) ** 2)
        return int(rows[middle]), int(cols[middle])

    def box(self, number: int) -> tuple[int, int, int, int]:
        rows, cols = np.nonzero(self.before == number)
        return int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1

    def empty(self, side: int = 24) -> tuple[int, int]:
        """The middle of a square of background."""
        height, width = self.before.shape
        for row in range(2, height - side, 3):
            for col in range(2, width - side, 3):
                if not self.before[row : row + side, col : col + side].any():
                    return row + side // 2, col + side // 2
        raise AssertionError("no background")

    def neighbour(self, number: int) -> int:
        """The cell nearest to another one."""
        row, col = self.inside(number)
        others = [each for each in self.cells if each != number]
        return min(others, key=lambda each: abs(self.inside(each)[0] - row)
                   + abs(self.inside(each)[1] - col))  # fmt: skip


def select(window: Window, field: Field, *numbers: int, by: str = "mouse") -> None:
    window.press("v")
    for index, number in enumerate(numbers):
        row, col = field.inside(number)
        keys = ["Shift"] if index else []
        if by == "mouse":
            window.click(row + 0.5, col + 0.5, keys)
        else:
            window.trace((row, col), keys=keys)


def strokes(window: Window, by: str, *points: tuple[int, int], keys: tuple[str, ...] = ()) -> None:
    if by == "mouse":
        window.drag(*[(row + 0.5, col + 0.5) for row, col in points], keys=keys)
    else:
        window.trace(*points, keys=keys)


def brush_new(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    row, col = field.empty()
    window.press("b")
    strokes(window, by, (row, col - 5), (row, col + 5))

    def check(after: Labels) -> None:
        new = int(after[row, col])
        assert new not in field.cells
        assert new > max(field.cells)
        assert 40 < (after == new).sum() < 160
        assert window.cells()[new]["origin"] == "drawn"

    return check


def brush_extends(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    number = field.largest
    row, col = field.inside(number)
    right = field.box(number)[3]
    window.press("b")
    strokes(window, by, (row, col), (row, right + 4))

    def check(after: Labels) -> None:
        assert (after == number).sum() > (field.before == number).sum()
        others = (field.before != 0) & (field.before != number)
        assert (after[others] == field.before[others]).all()
        assert window.cells()[number]["origin"] == "edited"

    return check


def erase(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    number = field.largest
    row, col = field.inside(number)
    window.press("e")
    strokes(window, by, (row, col), (row, col + 2))

    def check(after: Labels) -> None:
        assert after[row, col] == 0
        assert 0 < (after == number).sum() < (field.before == number).sum()

    return check


def lasso(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    row, col = field.empty()
    window.press("l")
    corners = [(row - 5, col - 5), (row - 5, col + 5), (row + 5, col + 5), (row + 5, col - 5)]
    strokes(window, by, *corners)

    def check(after: Labels) -> None:
        new = int(after[row, col])
        assert new > max(field.cells)
        assert 81 <= (after == new).sum() <= 121

    return check


def cut(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    number = field.largest
    top, left, bottom, right = field.box(number)
    middle = (left + right) // 2
    window.press("c")
    strokes(window, by, (max(0, top - 2), middle), (min(199, bottom + 1), middle))

    def check(after: Labels) -> None:
        was = field.before == number
        assert len(np.unique(after[was])) >= 2
        assert (after[was] != 0).all()
        assert (after[~was] == field.before[~was]).all()

    return check


def merge(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    number, other = field.largest, field.neighbour(field.largest)
    select(window, field, number, other, by=by)
    assert window.selected == "2 cells"
    window.press("m")

    def check(after: Labels) -> None:
        assert (after[(field.before == number) | (field.before == other)] == number).all()
        assert other not in window.cells()

    return check


def delete(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    select(window, field, field.largest, by=by)
    window.press("Delete")

    def check(after: Labels) -> None:
        assert not (after == field.largest).any()
        assert field.largest not in window.cells()

    return check


def grow(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    select(window, field, field.largest, by=by)
    window.press("g")

    def check(after: Labels) -> None:
        was, now = field.before == field.largest, after == field.largest
        assert now[was].all()
        assert now.sum() > was.sum()
        assert (after[(field.before != 0)] == field.before[field.before != 0]).all()

    return check


def shrink(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    select(window, field, field.largest, by=by)
    window.press("Shift+G")

    def check(after: Labels) -> None:
        was, now = field.before == field.largest, after == field.largest
        assert 0 < now.sum() < was.sum()
        assert not now[~was].any()

    return check


def fill_holes(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    row, col = field.empty()
    window.press("l")
    ring = [(row - 8, col - 8), (row - 8, col + 8), (row + 8, col + 8), (row + 8, col - 8)]
    strokes(window, "mouse", *ring)
    window.press("e")
    strokes(window, "mouse", (row, col), (row, col))
    hole = window.labels()
    assert hole[row, col] == 0
    number = int(hole[row, col - 7])
    assert window.selected == f"Cell {number}"
    window.press("f")

    def check(after: Labels) -> None:
        assert after[row, col] == number
        assert (after[row - 6 : row + 6, col - 6 : col + 6] == number).all()

    return check


def set_type(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    select(window, field, field.largest, by=by)
    before = field.cells[field.largest]["type"]
    if by == "mouse":
        menu = window.page.locator(".chosen select")
        values = menu.locator("option").evaluate_all("all => all.map(each => each.value)")
        chosen = next(each for each in values if each not in ("", "+", "…", before))
        menu.select_option(chosen)
    else:
        window.press("0")
        chosen = ""

    def check(after: Labels) -> None:
        assert (after == field.before).all()
        assert window.cells()[field.largest]["type"] == chosen != before

    return check


def add(window: Window, field: Field, by: str) -> Callable[[Labels], None]:
    (best, *_) = window.viewer.json(f"/api/images/{window.key}/candidates")["candidates"]
    width = field.before.shape[1]
    runs = np.array(best["runs"]).reshape(-1, 2)
    place, length = runs[len(runs) // 2]
    row, col = divmod(int(place + length // 2), width)
    assert field.before[row, col] == 0
    window.press("n")
    strokes(window, by, (row, col))

    def check(after: Labels) -> None:
        new = int(after[row, col])
        assert (after == new).sum() == runs[:, 1].sum()
        assert window.cells()[new] == {"origin": "model", "type": best["type"],
                                       "score": best["score"]}  # fmt: skip

    return check


TOOLS = (brush_new, brush_extends, erase, lasso, cut, merge, delete, grow, shrink, fill_holes,
         set_type, add)  # fmt: skip


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
@pytest.mark.parametrize("tool", TOOLS, ids=lambda each: each.__name__)
def test_a_tool_is_undone_and_redone_to_the_same_bytes(
    shared: Window, tool: Callable[[Window, Field, str], Callable[[Labels], None]], by: str
) -> None:
    shared.press("Escape", "Escape")
    field = Field(shared)
    revision = shared.viewer.json(f"/api/images/{shared.key}")["entry"]["revision"]
    check = tool(shared, field, by)
    after, cells = shared.labels(), shared.cells()
    assert (after != field.before).any() or cells != field.cells, shared.page.locator(
        ".messages"
    ).inner_text()
    check(after)
    steps = shared.viewer.json(f"/api/images/{shared.key}")["entry"]["revision"] - revision
    shared.press(*["Control+z"] * steps)
    assert shared.labels().tobytes() == field.before.tobytes()
    assert shared.cells() == field.cells
    shared.press(*["Control+y"] * steps)
    assert shared.labels().tobytes() == after.tobytes()
    assert shared.cells() == cells
    shared.press(*["Control+Shift+z"], *["Control+z"] * steps)
    assert shared.labels().tobytes() == field.before.tobytes()
